"""Settings that manifests give exist and are taken; what they read from files is there."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import pytest

from dev.cluster_secrets import hosts
from dev.cluster_secrets import workload as workload_of
from dev.manifests import K8S, Combination, Document, components_of, of_kind, rendered
from servicekit.secrets import Secret
from servicekit.settings import load
from tests.k8s.addresses import Names, addresses
from tests.k8s.conftest import made_secrets
from tests.k8s.workloads import (
    Workload,
    environment,
    mounted,
    settings_class,
    variables,
    workloads,
)


def ours(documents: Sequence[Document]) -> Iterator[Workload]:
    return (each for each in workloads(documents) if each.service is not None)


@pytest.mark.req("K1")
def test_settings_exist_and_are_taken(
    combination: Combination, documents: Sequence[Document], tmp_path: Path
) -> None:
    """A name that a service does not know would be ignored in silence."""
    secrets = made_secrets(combination)
    for workload in ours(documents):
        assert workload.service is not None
        settings, prefix = settings_class(workload.service)
        known = dict(variables(settings, prefix))
        environ = {}
        for name, value in environment(workload, documents).items():
            if not name.startswith("ISOBATH_"):
                continue
            if name == "ISOBATH_LOG_LEVEL":
                continue
            if name in known:
                environ[name] = value
                continue
            assert name.removesuffix("_FILE") in known, f"{workload}: {name}"
            file = tmp_path / f"{workload.name}-{name}"
            file.write_text(_content(workload, value, secrets))
            environ[name] = str(file)
        load(settings, environ, prefix=prefix)


def _content(workload: Workload, path: str, secrets: dict[tuple[str, str], dict[str, str]]) -> str:
    volume = mounted(workload, path)
    assert volume is not None, f"{workload}: nothing is mounted at {path}"
    key = PurePosixPath(path).name
    name = volume.get("secret", {}).get("secretName", "")
    held = secrets.get((workload.namespace, name))
    return held[key] if held is not None else "a" * 43 + "="


@pytest.mark.req("K1", "S1")
def test_no_setting_holds_a_secret(documents: Sequence[Document]) -> None:
    for workload in ours(documents):
        assert workload.service is not None
        settings, prefix = settings_class(workload.service)
        secret = {
            name
            for name, hint in variables(settings, prefix)
            if hint is Secret or Secret in get_args(hint)
        }
        assert not secret & set(environment(workload, documents)), workload


@pytest.mark.req("K1")
def test_files_that_settings_name_are_mounted(documents: Sequence[Document]) -> None:
    for workload in ours(documents):
        for name, value in environment(workload, documents).items():
            if re.match(r"^/[a-z]", value):
                assert mounted(workload, value) is not None, f"{workload}: {name}={value}"


@pytest.mark.req("K1", "S1")
def test_secrets_and_maps_that_pods_name_are_made(
    combination: Combination, documents: Sequence[Document]
) -> None:
    """By a command of ours, by cert-manager, or by External Secrets."""
    made = {(*each, key) for each, values in made_secrets(combination).items() for key in values}
    taken = {*components_of(K8S / "overlays" / combination.overlay), *combination.added}
    for each in of_kind(documents, "Certificate"):
        place = (each["metadata"]["namespace"], each["spec"]["secretName"])
        made |= {(*place, key) for key in ("tls.crt", "tls.key", "ca.crt")}
    for each in of_kind(documents, "ExternalSecret"):
        place = (each["metadata"]["namespace"], each["spec"]["target"]["name"])
        made |= {(*place, data["secretKey"]) for data in each["spec"]["data"]}
    maps = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in of_kind(documents, "ConfigMap")
    }
    # of Vault's authority, which only who runs it knows
    maps |= {("isobath", "vault-ca")}
    maps |= {
        (each, "isobath-callers")
        for each in ("isobath", "isobath-sandboxes")
        if "plaintext" in taken
    }
    claims = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in of_kind(documents, "PersistentVolumeClaim")
    }
    for workload in workloads(documents):
        for volume in workload.pod.get("volumes", ()):
            held = volume.get("secret", {})
            if (secret := held.get("secretName")) and not held.get("optional"):
                assert any(each[:2] == (workload.namespace, secret) for each in made), (
                    f"{workload}: {secret}"
                )
            if name := volume.get("configMap", {}).get("name"):
                assert (workload.namespace, name) in maps, f"{workload}: {name}"
            if claim := volume.get("persistentVolumeClaim", {}).get("claimName"):
                assert (workload.namespace, claim) in claims, f"{workload}: {claim}"
        for variable in (v for c in workload.containers for v in c.get("env", ())):
            if key := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert (workload.namespace, key["name"], key["key"]) in made, f"{workload}: {key}"


@pytest.mark.req("S3", "K1")
def test_certificates_name_their_service_and_every_host_that_it_is_called_by(
    documents: Sequence[Document],
) -> None:
    certificates = {
        each["metadata"]["name"]: each
        for each in of_kind(documents, "Certificate")
        if each["spec"].get("uris")
    }
    names = Names(list(of_kind(documents, "Service")))
    for workload in ours(documents):
        for value in environment(workload, documents).values():
            for address in addresses(value):
                found = names.find(address, workload.namespace)
                if found is None or found[0]["metadata"]["name"] not in certificates:
                    continue
                named = certificates[found[0]["metadata"]["name"]]["spec"]["dnsNames"]
                assert address.host in named, f"{workload} calls {address.host}"
    for name, each in certificates.items():
        spec = each["spec"]
        identity = name.replace("-", "_")
        assert spec["uris"] == [f"spiffe://isobath/{identity}"]
        assert spec["dnsNames"] == list(hosts(identity))
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["privateKey"]["rotationPolicy"] == "Always"
        assert workload_of(identity) == name


def test_hosts_are_those_that_settings_dial(
    combination: Combination, documents: Sequence[Document]
) -> None:
    """Those of the certificates that `python -m dev.cluster_secrets` makes."""
    names = Names(list(of_kind(documents, "Service")))
    for workload in ours(documents):
        for value in environment(workload, documents).values():
            for address in addresses(value):
                found = names.find(address, workload.namespace)
                target = found[0]["metadata"]["name"].replace("-", "_") if found else ""
                if target in dict(_served(documents)):
                    assert address.host in hosts(target)


def _served(documents: Sequence[Document]) -> Iterator[tuple[str, Any]]:
    return ((each.service, each) for each in ours(documents) if each.service is not None)


@pytest.mark.req("K1", "B1")
def test_azure_is_reached_with_the_pods_own_identity() -> None:
    """No key of an account is in any Secret that a pod has to have."""
    documents = rendered(Combination("azure", ("backup", "clean")))
    accounts = {each["metadata"]["name"]: each for each in of_kind(documents, "ServiceAccount")}
    for workload in ours(documents):
        settings = environment(workload, documents)
        if workload.name in ("gateway", "gateway-backup", "gateway-clean", "blob-connector"):
            notes = accounts[workload.pod["serviceAccountName"]]["metadata"]["annotations"]
            assert notes["azure.workload.identity/client-id"], workload
            assert workload.labels["azure.workload.identity/use"] == "true", workload
        if workload.service == "gateway":
            assert settings["ISOBATH_GATEWAY_FILES_IDENTITY"] == "workload_identity"
            assert "ISOBATH_GATEWAY_FILES_CONNECTION_STRING_FILE" not in settings
