"""No pod has more than it needs, and each can be moved, replaced and found."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dev.manifests import K8S, Combination, Document, name_of, of_kind
from servicekit.settings import load
from tests.k8s.network import matches
from tests.k8s.workloads import Workload, environment, settings_class, variables, workloads

# a handler that was cancelled has this long for its cleanup (servicekit.server), and the process to end
CLEANUP_S, MARGIN_S = 5.0, 10.0
# what has no restricted pods, and why
EXCEPTIONS = {
    "seccomp-profile": "writes the profile into the node's folder of them, as root",
}
# what nobody probes, and why
UNPROBED = {"model-worker": "its leader answers for the group, which starts anew as one"}
# Mi
_UNITS = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}


def pods(documents: Sequence[Document]) -> Iterator[Workload]:
    return (each for each in workloads(documents) if each.name not in EXCEPTIONS)


def serving(documents: Sequence[Document]) -> Iterator[Workload]:
    return (each for each in pods(documents) if each.endless and each.name != "sandbox-pod")


@pytest.mark.req("K1", "K2")
def test_nobody_is_root_or_can_become_so(documents: Sequence[Document]) -> None:
    for workload in pods(documents):
        context = workload.pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, workload
        assert context["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), workload
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod), workload
        for container in workload.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, workload
            assert own["readOnlyRootFilesystem"] is True, workload
            assert own["capabilities"] == {"drop": ["ALL"]}, workload
            assert not own.get("privileged"), workload


@pytest.mark.req("K1")
def test_no_pod_mounts_the_node_or_has_a_token_that_it_does_not_use(
    documents: Sequence[Document],
) -> None:
    users = {
        subject["name"]
        for binding in of_kind(documents, "RoleBinding", "ClusterRoleBinding")
        for subject in binding["subjects"]
    }
    accounts = {each["metadata"]["name"] for each in of_kind(documents, "ServiceAccount")}
    for workload in pods(documents):
        account = workload.pod.get("serviceAccountName", "default")
        assert workload.pod["automountServiceAccountToken"] is (account in users), workload
        assert account in accounts, f"{workload}: {account}"
        for volume in workload.pod.get("volumes", ()):
            assert "hostPath" not in volume, workload


@pytest.mark.req("K1")
def test_restricted_namespaces_are_said_to_be_so(documents: Sequence[Document]) -> None:
    """And only what needs more has more."""
    for namespace in of_kind(documents, "Namespace"):
        level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        inside = [
            each for each in workloads(documents) if each.namespace == namespace["metadata"]["name"]
        ]
        needs_more = any(
            each.name in EXCEPTIONS
            or any(c["securityContext"].get("procMount") for c in each.containers)
            for each in inside
        )
        assert level == ("privileged" if needs_more else "restricted"), namespace["metadata"][
            "name"
        ]


@pytest.mark.req("K1")
def test_what_a_container_may_use_is_bounded(documents: Sequence[Document]) -> None:
    for workload in pods(documents):
        for container in workload.containers:
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), workload
            assert {"cpu", "memory"} <= set(resources["limits"]), workload
            for kind in ("requests", "limits"):
                assert mebibytes(resources[kind]["memory"]) > 0
            assert mebibytes(resources["requests"]["memory"]) <= mebibytes(
                resources["limits"]["memory"]
            ), workload
        for volume in workload.pod.get("volumes", ()):
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), f"{workload}: {volume['name']}"


@pytest.mark.req("K1")
def test_sessions_fit_into_the_memory_of_their_pod(documents: Sequence[Document]) -> None:
    for workload in workloads(documents):
        if workload.service == "sandbox":
            settings = loaded(workload, documents)
            limit = mebibytes(workload.main["resources"]["limits"]["memory"])
            if settings.driver == "local":
                assert settings.sessions * settings.memory_bytes / 2**20 + 1024 <= limit, workload


@pytest.mark.req("K1")
def test_queries_over_files_fit_into_the_memory_of_their_pod(documents: Sequence[Document]) -> None:
    for workload in workloads(documents):
        if workload.service in ("blob_connector", "file_connector"):
            settings = loaded(workload, documents)
            each = settings.query_memory_bytes / 2**20 + 512
            limit = mebibytes(workload.main["resources"]["limits"]["memory"])
            assert settings.queries * each + 512 <= limit, workload


@pytest.mark.req("K1", "S7")
def test_services_are_probed_on_the_port_that_tells_health(documents: Sequence[Document]) -> None:
    for workload in pods(documents):
        if not workload.endless or workload.name in UNPROBED:
            continue
        main = workload.main
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(main), workload
        if workload.service is None:
            continue
        port = int(loaded(workload, documents).server.health_bind.rpartition(":")[2])
        for probe in ("startupProbe", "livenessProbe"):
            assert main[probe]["grpc"]["port"] == port, workload
        assert port in {each["containerPort"] for each in main["ports"]}, workload


@pytest.mark.req("K1")
def test_pod_has_the_time_that_its_service_takes_to_end(documents: Sequence[Document]) -> None:
    for workload in pods(documents):
        if workload.service is not None and workload.endless:
            settings = loaded(workload, documents)
            ending = settings.server.linger_s + settings.server.drain_s + CLEANUP_S
            ending += getattr(settings, "hand_over_s", 0.0)
            assert workload.pod["terminationGracePeriodSeconds"] >= ending + MARGIN_S, workload


@pytest.mark.req("K1")
def test_ports_are_those_that_are_bound(documents: Sequence[Document]) -> None:
    for workload in pods(documents):
        if workload.service is not None and workload.endless:
            bound = {
                int(value.rpartition(":")[2])
                for name, value in environment(workload, documents).items()
                if name.endswith("_BIND")
            }
            assert {each["containerPort"] for each in workload.main["ports"]} == bound, workload


@pytest.mark.req("K1", "K3")
def test_replicas_are_spread_and_may_be_moved_one_at_a_time(documents: Sequence[Document]) -> None:
    budgets = list(of_kind(documents, "PodDisruptionBudget"))
    for workload in serving(documents):
        if workload.document["kind"] == "DaemonSet" or workload.service is None:
            continue
        own = [
            each
            for each in budgets
            if each["metadata"]["namespace"] == workload.namespace
            and matches(each["spec"]["selector"], workload.labels)
        ]
        assert len(own) == 1, workload
        assert own[0]["spec"]["maxUnavailable"] == 1, workload
        spread = workload.pod["topologySpreadConstraints"]
        keys = {each["topologyKey"] for each in spread}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, workload
        assert all(matches(each["labelSelector"], workload.labels) for each in spread), workload
    names = {name_of(each) for each in budgets}
    assert len(names) == len(budgets)
    for budget in budgets:
        assert any(
            matches(budget["spec"]["selector"], each.labels) for each in workloads(documents)
        ), name_of(budget)


@pytest.mark.req("K1")
def test_services_lead_to_pods_by_ports_that_these_have(documents: Sequence[Document]) -> None:
    for service in of_kind(documents, "Service"):
        selected = [
            each
            for each in workloads(documents)
            if each.namespace == service["metadata"]["namespace"]
            and service["spec"]["selector"].items() <= each.labels.items()
        ]
        assert selected, name_of(service)
        for port in service["spec"]["ports"]:
            for workload in selected:
                names = {each["name"] for each in workload.main["ports"]}
                assert port["targetPort"] in names, name_of(service)


@pytest.mark.req("K1")
def test_pods_have_a_priority_that_exists(documents: Sequence[Document]) -> None:
    known = {each["metadata"]["name"] for each in of_kind(documents, "PriorityClass")}
    for workload in pods(documents):
        assert workload.pod.get("priorityClassName") in known, workload


@pytest.mark.req("K2")
def test_images_have_a_version(documents: Sequence[Document]) -> None:
    for workload in workloads(documents):
        for container in workload.containers:
            name, _, tag = container["image"].rpartition(":")
            assert name and re.search(r"\d+\.\d+", tag), f"{workload}: {container['image']}"
            assert tag != "latest"


@pytest.mark.req("K2")
def test_images_of_ours_are_those_that_are_built(documents: Sequence[Document]) -> None:
    targets = re.findall(r"^FROM \S+ AS (\S+)$", (K8S.parent / "Dockerfile").read_text(), re.M)
    version = tomllib.loads((K8S.parent / "pyproject.toml").read_text())["project"]["version"]
    for workload in workloads(documents):
        for container in workload.containers:
            if container["image"].startswith("isobath/"):
                name, _, tag = container["image"].removeprefix("isobath/").partition(":")
                assert name in targets, f"{workload}: {name}"
                assert tag == version, workload


def loaded(workload: Workload, documents: Sequence[Document]) -> Any:
    """Its settings; what lies in Secrets is some word."""
    assert workload.service is not None
    settings, prefix = settings_class(workload.service)
    known = dict(variables(settings, prefix))
    environ = {}
    for name, value in environment(workload, documents).items():
        if name in known:
            environ[name] = value
        elif name.startswith(prefix):
            word = "postgresql+asyncpg://a:b@c/d" if "DATABASE_URL" in name else "word"
            environ[name.removesuffix("_FILE")] = word
    return load(settings, environ, prefix=prefix)


def mebibytes(quantity: str) -> float:
    number, unit = quantity[:-2], quantity[-2:]
    return float(number) * _UNITS[unit]


def test_combinations_are_what_they_are_called(combination: Combination) -> None:
    assert len(set(combination.added)) == len(combination.added)
