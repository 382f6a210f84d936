"""The policies for Vault are enough for the credential service, and no more."""

import re
from pathlib import Path

import pytest

from dev.manifests import K8S, Combination, of_kind, rendered
from tests.k8s.workloads import environment, workloads

VAULT = K8S / "components" / "vault"
_PATH = re.compile(r'path "([^"]+)"\s*\{\s*capabilities = \[([^\]]*)\]\s*\}')


def policy(name: str) -> dict[str, set[str]]:
    """Path -> capabilities."""
    text = re.sub(r"#.*", "", (VAULT / "policies" / f"{name}.hcl").read_text())
    found = {path: set(re.findall(r'"(\w+)"', words)) for path, words in _PATH.findall(text)}
    assert not _PATH.sub("", text).strip(), "nothing else stands in it"
    return found


def allows(found: dict[str, set[str]], path: str, capability: str) -> bool:
    """As Vault reads it: a star at the end is any rest."""
    return any(
        capability in capabilities
        for given, capabilities in found.items()
        if given == path or (given.endswith("*") and path.startswith(given[:-1]))
    )


@pytest.mark.req("S1")
def test_policies_are_those_of_the_page_on_vault() -> None:
    page = re.sub(r"#.*", "", (K8S.parent / "docs" / "vault.md").read_text())
    told = {path: set(re.findall(r'"(\w+)"', words)) for path, words in _PATH.findall(page)}
    files = sorted(each.stem for each in (VAULT / "policies").glob("*.hcl"))
    assert files == ["isobath", "isobath-database", "isobath-transit"]
    kept: dict[str, set[str]] = {}
    for each in files:
        kept |= policy(each)
    assert kept == told


@pytest.mark.req("S1")
def test_policy_lets_secrets_of_sources_be_kept_and_nothing_else() -> None:
    found = policy("isobath")
    assert allows(found, "secret/data/isobath/sources/ds-1", "read")
    assert allows(found, "secret/metadata/isobath/sources/ds-1", "delete")
    for path in ("secret/data/other", "secret/data/isobath", "sys/mounts", "auth/token/create"):
        for capability in ("create", "read", "update", "delete", "list", "sudo"):
            assert not allows(found, path, capability), path
    every = {each for capabilities in found.values() for each in capabilities}
    assert not every & {"sudo", "list", "root"}


@pytest.mark.req("S1", "K1")
def test_role_is_of_the_pods_that_sign_in() -> None:
    setup = (VAULT / "setup.sh").read_text()
    documents = rendered(Combination("local", ("vault",)))
    (pod,) = (each for each in workloads(documents) if each.name == "credentials")
    settings = environment(pod, documents)
    role = settings["ISOBATH_CREDENTIALS_VAULT_ROLE"]
    assert f"auth/kubernetes/role/{role} " in setup
    account = pod.pod["serviceAccountName"]
    assert f"bound_service_account_names={account} " in setup
    assert f"bound_service_account_namespaces={pod.namespace} " in setup
    (token,) = (
        source["serviceAccountToken"]
        for volume in pod.pod["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    )
    assert f"audience={token['audience']} " in setup
    assert Path(settings["ISOBATH_CREDENTIALS_VAULT_JWT_FILE"]).name == token["path"]
    assert account in {e["metadata"]["name"] for e in of_kind(documents, "ServiceAccount")}
