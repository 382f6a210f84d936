"""compose.yaml follows the specification, names settings and addresses that exist, confines every
service, and lets nobody reach whom it does not call."""

import dataclasses
import importlib
import itertools
import json
import re
import stat
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.fernet import Fernet

from dev.compose_secrets import write
from servicekit.settings import load
from servicekit.tls import Tls, TlsSettings
from tests.compose.composition import ROOT, project, variables
from tests.images.stages import SERVICES, stages

FILES = (("compose.yaml",), ("compose.yaml", "compose.vault.yaml"))
EVERYTHING = FILES[1]
# a container and the service in it
OURS = {**SERVICES, "inference-gpu": "inference"}
ADDRESS = re.compile(r"^(?:https?://)?([a-z-]+):(\d+)$")
PORTS = {
    "credentials": 50051,
    "pg-connector": 50052,
    "blob-connector": 50053,
    "sandbox": 50054,
    "inference": 50055,
    "inference-gpu": 50055,
    "file-connector": 50056,
    "vault": 8200,
}
# who calls whom without an address in the settings: it stands in a secret, or in a source
TOLD = {("gateway", "postgres"), ("blob-connector", "azurite"), ("gateway", "inference-gpu")}
# of the credential service for a model server's key, where one is named
ASKED = {("inference", "credentials")}


def services(*names: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = project(*(names or EVERYTHING))["services"]
    return found


def settings_of(name: str) -> Any:
    """What the service in this container makes of its environment. Secrets are files that are only
    there when it runs."""
    service = OURS[name]
    given = services()[name]["environment"].items()
    environ = {key: value for key, value in given if not key.endswith("_FILE")}
    cls = importlib.import_module(f"services.{service}.settings").Settings
    if name == "credentials":
        # of these, a file each
        environ |= {
            "ISOBATH_CREDENTIALS_VAULT_ROLE": "r",
            "ISOBATH_CREDENTIALS_VAULT_SECRET_ID": "s",
        }
    if name == "gateway":
        environ |= {"ISOBATH_GATEWAY_KEY_HASH": "k", "ISOBATH_GATEWAY_DATABASE_URL": "sqlite://"}
    return load(cls, environ, prefix=f"ISOBATH_{service.upper()}_")


def fields(cls: Any, prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = f"{prefix}{field.name.upper()}"
        if dataclasses.is_dataclass(hints[field.name]):
            yield from fields(hints[field.name], f"{name}_")
        else:
            yield from (name, f"{name}_FILE")


def addresses(name: str) -> Iterator[tuple[str, int]]:
    for value in services()[name].get("environment", {}).values():
        for word in str(value).split(","):
            if found := ADDRESS.match(word):
                yield found[1], int(found[2])


@pytest.mark.req("K2")
@pytest.mark.parametrize("names", FILES, ids="+".join)
def test_it_follows_the_specification(names: tuple[str, ...]) -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    jsonschema.validate(project(*names), schema)


@pytest.mark.req("K2")
def test_every_service_is_there_from_its_own_image() -> None:
    found = services()
    assert set(OURS) <= set(found)
    targets = stages()
    for name in OURS:
        target = found[name]["build"]["target"]
        assert target in targets
        assert found[name]["image"].split(":")[0] == f"isobath/{target}"


@pytest.mark.req("K2")
@pytest.mark.parametrize("name", services())
def test_it_is_confined(name: str) -> None:
    given = services()[name]
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(given)
    assert set(given["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert given["healthcheck"]["interval"]
    # ours have it in the image
    assert name in OURS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", given["user"])
    assert not [each for each in given.get("volumes", ()) if "docker.sock" in each["source"]]


@pytest.mark.req("K2")
@pytest.mark.parametrize("name", OURS)
def test_settings_exist_and_are_taken(name: str) -> None:
    service = OURS[name]
    prefix = f"ISOBATH_{service.upper()}_"
    cls = importlib.import_module(f"services.{service}.settings").Settings
    assert set(services()[name]["environment"]) <= set(fields(cls, prefix))
    assert settings_of(name)


@pytest.mark.req("K2")
@pytest.mark.parametrize("name", services())
def test_addresses_are_those_of_services(name: str) -> None:
    for host, port in addresses(name):
        assert PORTS[host] == port


@pytest.mark.req("K2", "S3")
def test_whoever_shares_a_network_calls_the_other() -> None:
    """And who is called can be reached: the networks are the architecture, no more and no less."""
    found = services()
    calls = {(name, host) for name in found for host, _ in addresses(name)} | TOLD | ASKED
    members: dict[str, list[str]] = {}
    for name, given in found.items():
        for network in given["networks"]:
            members.setdefault(network, []).append(name)
    reach = {
        frozenset(pair) for names in members.values() for pair in itertools.combinations(names, 2)
    }
    assert reach == {frozenset(call) for call in calls}


@pytest.mark.req("K2", "X3")
def test_only_who_needs_it_has_a_way_out() -> None:
    known = project(*EVERYTHING)["networks"]
    out = {name for name, given in known.items() if not (given or {}).get("internal")}
    leads = {name: out & set(given["networks"]) for name, given in services().items()}
    assert {name: ways for name, ways in leads.items() if ways} == {
        "gateway": {"front"},
        "pg-connector": {"out-pg"},
        "blob-connector": {"out-blob"},
        "inference": {"out-model"},
    }
    published = [port for given in services().values() for port in given.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.req("K2")
@pytest.mark.parametrize("name", sorted(set(OURS) - {"sandbox", "inference-gpu"}))
def test_a_service_starts_after_those_that_it_calls(name: str) -> None:
    """But for the sandbox, which looks for connectors when a session does, and for models, which may
    take long to load."""
    waits = services()[name].get("depends_on", {})
    assert {host for host, _ in addresses(name)} - {"inference"} <= set(waits)
    assert all(each == {"condition": "service_healthy"} for each in waits.values())


@pytest.mark.req("K2", "S1")
def test_secrets_are_files_and_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    new = write(folder)
    assert {path.name for path in new} == {
        *("password", "database-url", "key-hash", "api-key", "key", "accounts.env")
    }
    before = {path: path.read_bytes() for path in new}
    certificate = (folder / "gateway" / "tls.crt").read_bytes()
    assert write(folder) == []
    assert {path: path.read_bytes() for path in new} == before
    assert (folder / "gateway" / "tls.crt").read_bytes() != certificate
    password = (folder / "postgres" / "password").read_text()
    assert f":{password}@postgres:5432/" in (folder / "gateway" / "database-url").read_text()
    Fernet((folder / "credentials" / "key").read_text())


@pytest.mark.req("K2", "S3")
def test_every_file_that_is_named_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    named = list(secret_files())
    assert len(named) > 3 * len(OURS)
    for path in named:
        # readable for the account of the container, below a folder that is closed to others
        assert stat.S_IMODE((folder / path).stat().st_mode) == 0o444
    assert (folder / "azurite" / "accounts.env").is_file()


def secret_files() -> Iterator[str]:
    """Below the folder of secrets, but for what Vault gives later."""
    for given in services().values():
        mounted = [each for each in given.get("volumes", ()) if each["target"] == "/run/isobath"]
        for each, value in itertools.product(mounted, given.get("environment", {}).values()):
            name = str(value).removeprefix("/run/isobath/")
            if name != value and name not in {"vault-role", "vault-secret-id"}:
                yield f"{Path(each['source']).name}/{name}"


@pytest.mark.req("K2", "S3")
@pytest.mark.parametrize("name", OURS)
def test_a_certificate_is_of_the_service_and_its_name(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    own = tmp_path / OURS[name].replace("_", "-")
    shown = Tls(TlsSettings(own / "tls.crt", own / "tls.key", own / "ca.crt")).material()
    assert shown.identity == OURS[name]
    names = (
        x509.load_pem_x509_certificates(shown.cert)[0]
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.DNSName)
    )
    assert name in names


@pytest.mark.req("K2")
def test_variables_stand_in_the_page() -> None:
    text = (ROOT / "docs" / "compose.md").read_text()
    assert {name for name in variables() if f"`{name}`" not in text} == set()
