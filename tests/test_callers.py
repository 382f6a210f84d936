"""Who may call what between the services: every method says so, and the documentation the same."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from connectorkit import callers as connectors
from dev.certs import OPERATOR
from dev.roster import NEEDS
from isobath.connector.v1 import connector_pb2
from isobath.credentials.v1 import credentials_pb2
from isobath.inference.v1 import inference_pb2
from isobath.sandbox.v1 import relay_pb2, sandbox_pb2
from servicekit.interceptors import ANYONE, Allow
from services.credentials.servicer import allow as credentials_allow
from services.credentials.settings import Settings as CredentialSettings
from services.inference import servicer as inference
from services.sandbox import servicer as sandbox
from services.sandbox.pods import relay

ROOT = Path(__file__).resolve().parent.parent
_OWN = CredentialSettings()
TABLES: Mapping[str, tuple[object, Allow]] = {
    "CredentialService": (
        credentials_pb2,
        credentials_allow(
            frozenset(_OWN.gateways), frozenset(_OWN.connectors), frozenset(_OWN.models)
        ),
    ),
    "ConnectorService": (connector_pb2, connectors.ALLOW),
    "SandboxService": (sandbox_pb2, sandbox.ALLOW),
    "RelayService": (relay_pb2, relay.ALLOW),
    "InferenceService": (inference_pb2, inference.ALLOW),
}


@pytest.mark.req("S3")
@pytest.mark.parametrize("name", TABLES)
def test_every_method_names_who_may_call_it(name: str) -> None:
    module, allow = TABLES[name]
    methods = module.DESCRIPTOR.services_by_name[name].methods_by_name  # type: ignore[attr-defined]
    assert set(allow) == set(methods)
    for identities in allow.values():
        assert identities and identities <= {*NEEDS, OPERATOR, ANYONE}


def test_documentation_has_the_same_table() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    told = {
        (service, method): identities
        for service, methods, identities in re.findall(
            r"^\| (\w+Service) \| ([\w, ]+) \| ([\w, ]+) \|$", text, re.MULTILINE
        )
        for method in methods.split(", ")
    }
    assert told == {
        (name, method): ", ".join(sorted(i.replace(ANYONE, "any service") for i in identities))
        for name, (_, allow) in TABLES.items()
        for method, identities in allow.items()
    }
