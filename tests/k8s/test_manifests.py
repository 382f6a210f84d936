"""The manifests are valid, name settings that exist, and give no pod more than it needs."""

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from servicekit.settings import load

BASE = Path(__file__).resolve().parents[2] / "k8s" / "base"
KUBERNETES = "1.37"
SERVICES = (
    "gateway",
    "credentials",
    "pg-connector",
    "blob-connector",
    "file-connector",
    "sandbox",
    "inference",
)


def documents() -> Iterator[dict[str, Any]]:
    for path in sorted(BASE.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in documents() if d["kind"] == kind}


def container(service: str) -> dict[str, Any]:
    found: dict[str, Any] = of_kind("Deployment")[service]["spec"]["template"]["spec"]
    return dict(found["containers"][0], pod=found)


@pytest.mark.req("K1")
def test_manifests_follow_the_schema() -> None:
    for document in documents():
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.req("K1")
@pytest.mark.parametrize("service", SERVICES)
def test_pod_is_restricted(service: str) -> None:
    given = container(service)
    assert given["pod"]["securityContext"]["runAsNonRoot"]
    assert given["pod"]["automountServiceAccountToken"] is False
    assert given["securityContext"]["readOnlyRootFilesystem"]
    assert given["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(given["resources"]["limits"])
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(given)


@pytest.mark.req("K1")
@pytest.mark.parametrize("service", SERVICES)
def test_service_has_policy_budget_and_address(service: str) -> None:
    for kind in ("NetworkPolicy", "PodDisruptionBudget", "Service"):
        assert service in of_kind(kind)


@pytest.mark.req("X3")
def test_sandbox_reaches_only_connectors() -> None:
    egress = of_kind("NetworkPolicy")["sandbox"]["spec"]["egress"]
    peers = [peer for rule in egress for peer in rule["to"]]
    reached = {p["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for p in peers[1:]}
    assert reached == {"pg-connector", "blob-connector", "file-connector"}
    assert not any("ipBlock" in peer for peer in peers)


@pytest.mark.req("K1", "D11")
def test_file_connector_reads_its_files_and_reaches_nothing_but_the_credentials() -> None:
    given = container("file-connector")
    (mount,) = (each for each in given["volumeMounts"] if each["mountPath"] == "/data")
    (volume,) = (each for each in given["pod"]["volumes"] if each["name"] == mount["name"])
    assert mount["readOnly"] and volume["persistentVolumeClaim"]["readOnly"]
    assert volume["persistentVolumeClaim"]["claimName"] in of_kind("PersistentVolumeClaim")
    egress = of_kind("NetworkPolicy")["file-connector"]["spec"]["egress"]
    assert not any("ipBlock" in peer for rule in egress for peer in rule["to"])


@pytest.mark.parametrize("service", SERVICES)
def test_settings_named_in_the_manifest_exist(service: str, tmp_path: Path) -> None:
    """A name that the service does not know would be ignored in silence."""
    name = service.replace("-", "_")
    prefix = f"ISOBATH_{name.upper()}_"
    settings = importlib.import_module(f"services.{name}.settings").Settings
    environ = {e["name"]: e["value"] for e in container(service)["env"]}
    known = set(variables(settings, prefix))
    assert set(environ) <= known
    for key in [key for key in environ if key.endswith(("_TOKEN_FILE", "KEY_FILE"))]:
        secret = tmp_path / key
        secret.write_text("x" * 44)
        secret.chmod(0o600)
        environ[key] = str(secret)
    load(settings, environ, prefix=prefix)


def variables(settings: type, prefix: str) -> Iterator[str]:
    hints = importlib.import_module("typing").get_type_hints(settings)
    for each in dataclasses.fields(settings):
        if dataclasses.is_dataclass(hints[each.name]):
            yield from variables(hints[each.name], f"{prefix}{each.name.upper()}_")
        yield f"{prefix}{each.name.upper()}"
        yield f"{prefix}{each.name.upper()}_FILE"


@pytest.mark.req("S3")
def test_tokens_are_new_each_time_and_match_their_hashes() -> None:
    first, second = (
        subprocess.check_output([sys.executable, "-m", "dev.tokens"], text=True) for _ in range(2)
    )
    assert first != second
    made = list(yaml.safe_load_all(first))
    callers = next(d for d in made if d["kind"] == "ConfigMap")
    assert len([d for d in made if d["kind"] == "Secret"]) == len(SERVICES) + 1
    assert "gateway" in callers["data"]["callers.json"]
