"""What is rendered once for all tests."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dev import cluster_secrets
from dev.cluster_secrets import Wanted
from dev.kubectl import usable
from dev.manifests import (
    K8S,
    NO_KUBECTL,
    Combination,
    Document,
    combinations,
    components_of,
    rendered,
)
from tests.k8s.workloads import secret_values

FILES = "AccountName=account;AccountKey=a2V5;EndpointSuffix=core.windows.net"
ALL = tuple(combinations())


@pytest.fixture(scope="session", autouse=True)
def everything_rendered() -> None:
    """Two at once, before the first test looks at one."""
    if usable() is None:
        if os.environ.get("CI"):
            pytest.fail(NO_KUBECTL)
        pytest.skip(NO_KUBECTL)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(rendered, ALL))


@pytest.fixture(params=ALL, ids=str)
def combination(request: pytest.FixtureRequest) -> Combination:
    found: Combination = request.param
    return found


@pytest.fixture
def documents(combination: Combination) -> Sequence[Document]:
    return rendered(combination)


def made_secrets(combination: Combination) -> dict[tuple[str, str], dict[str, str]]:
    """Those that `python -m dev.cluster_secrets` makes for it."""
    taken = {*components_of(K8S / "overlays" / combination.overlay), *combination.added}
    outside = "postgresql+asyncpg://isobath:word@state.postgres.example.com:5432/"
    wanted = Wanted(
        database_url="" if "postgres" in taken else f"{outside}isobath",
        credentials_url="" if "postgres" in taken else f"{outside}credentials",
        files=FILES,
        certificates="cert-manager" not in taken,
        plaintext="plaintext" in taken,
        model_key="word" if "model-server-outside" in taken else "",
    )
    return secret_values(list(cluster_secrets.manifests(wanted)))
