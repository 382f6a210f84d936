"""NetworkPolicies allow what the services' settings need, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence

import pytest

from dev.manifests import K8S, Combination, Document, components_of, of_kind
from tests.k8s.addresses import Address, Names, addresses
from tests.k8s.conftest import made_secrets
from tests.k8s.network import ANYBODY, OUTSIDE, Edge, Network, Pod
from tests.k8s.workloads import Workload, environment, mounted, workloads

DNS = tuple(Edge("", "in kube-system", 53, protocol) for protocol in ("TCP", "UDP"))
# what no setting says: where data lies is said by sources, where weights are by the hub's client
DATA: Mapping[str, Sequence[tuple[str, int]]] = {
    "pg-connector": [(OUTSIDE, 5432)],
    "blob-connector": [(OUTSIDE, 443)],
    "model-fetch": [(OUTSIDE, 443)],
}
# the emulator of a lake to try things with
TRIED: Mapping[str, Sequence[tuple[str, int]]] = {
    "blob-connector": [("azurite", 10000)],
    "container": [("azurite", 10000)],
}
JOBS = {
    "gateway-migrate": ("DATABASE_URL",),
    "gateway-clean": ("DATABASE_URL", "FILES_URL"),
    "gateway-backup": ("DATABASE_URL", "FILES_URL"),
}
# machines that hold a model together choose their ports
GROUP = ("model-server", "model-worker")
# of Kubernetes itself, for pods that have a token for it
API = ((OUTSIDE, 443), (OUTSIDE, 6443))


class Cluster:
    """The pods of a combination, what they need and what they are allowed."""

    def __init__(self, combination: Combination, documents: Sequence[Document]) -> None:
        self.taken = {*components_of(K8S / "overlays" / combination.overlay), *combination.added}
        self.documents = documents
        self.workloads = workloads(documents)
        self.pods = [_pod(each) for each in self.workloads]
        self._secrets = made_secrets(combination)
        self._names = Names(list(of_kind(documents, "Service")))
        namespaces = {
            each["metadata"]["name"]: {
                **each["metadata"].get("labels", {}),
                "kubernetes.io/metadata.name": each["metadata"]["name"],
            }
            for each in of_kind(documents, "Namespace")
        }
        policies = [*of_kind(documents, "NetworkPolicy"), *_managed(documents)]
        self.network = Network(policies, self.pods, namespaces)

    def needed(self) -> set[Edge]:
        found: set[Edge] = set()
        for each in self.workloads:
            out = {*self._by_settings(each), *self._by_nature(each)}
            found |= out
            if out:
                found |= {Edge(each.name, dns.target, dns.port, dns.protocol) for dns in DNS}
            found |= set(self._watched(each))
        clients = ANYBODY if "gateway-api" not in self.taken else "in gateway-system"
        return found | {Edge(clients, "gateway", 8200), Edge(clients, "gateway", 50050)}

    def _by_settings(self, workload: Workload) -> set[Edge]:
        found = set()
        for name, value in environment(workload, self.documents).items():
            # replicas of its own are counted by their addresses, and not called
            if name.endswith(("_BIND", "_REPLICAS")) or not _asks(workload, name):
                continue
            for address in addresses(self._content(workload, name, value)):
                found.add(self._edge(workload, address))
        return found

    def _content(self, workload: Workload, name: str, value: str) -> str:
        """What a setting holds, also where a Secret does."""
        if not name.endswith("_FILE") or (volume := mounted(workload, value)) is None:
            return value
        secret = volume.get("secret", {}).get("secretName", "")
        held = self._secrets.get((workload.namespace, secret), {})
        return held.get(value.rpartition("/")[2], value)

    def _edge(self, workload: Workload, address: Address) -> Edge:
        found = self._names.find(address, workload.namespace)
        if found is None:
            return self._outward(workload, address)
        service, port = found
        selector = service["spec"]["selector"]
        (target,) = (
            each
            for each in self.workloads
            if selector.items() <= each.labels.items()
            and each.namespace == service["metadata"]["namespace"]
        )
        number = next(
            each["containerPort"]
            for each in target.main["ports"]
            if port["targetPort"] in (each["name"], each["containerPort"])
        )
        return Edge(workload.name, target.name, number)

    def _outward(self, workload: Workload, address: Address) -> Edge:
        """Another namespace by its name within the cluster, else the world."""
        host = address.host.split(".")
        inside = len(host) > 2 and host[2] == "svc"
        return Edge(workload.name, f"in {host[1]}" if inside else OUTSIDE, address.port)

    def _by_nature(self, workload: Workload) -> set[Edge]:
        wanted = [*DATA.get(workload.name, ())]
        if "azurite" in self.taken:
            wanted += TRIED.get(workload.name, ())
        if workload.pod.get("automountServiceAccountToken"):
            wanted += API
        if workload.name == "credentials-backup":
            url = self._secrets["isobath", "credentials"]["database-url"]
            return {self._edge(workload, each) for each in addresses(url)}
        settings = environment(workload, self.documents)
        if settings.get("ISOBATH_SANDBOX_DRIVER") == "pods":
            wanted.append(("sandbox-pod", int(settings["ISOBATH_SANDBOX_PODS_PORT"])))
        found = {Edge(workload.name, target, port) for target, port in wanted}
        if workload.document["kind"] == "LeaderWorkerSet":
            found |= {Edge(workload.name, each, 1024, "TCP to 65535") for each in GROUP}
        return found

    def _watched(self, workload: Workload) -> set[Edge]:
        if "monitoring" not in self.taken or not workload.endless:
            return set()
        settings = environment(workload, self.documents)
        binds = [value for name, value in settings.items() if name.endswith("_METRICS_BIND")]
        return {
            Edge("in monitoring", workload.name, int(bind.rpartition(":")[2])) for bind in binds
        }


def _asks(workload: Workload, variable: str) -> bool:
    """Jobs have the settings of a gateway, and use what their command needs."""
    return workload.endless or any(each in variable for each in JOBS.get(workload.name, ()))


def _pod(workload: Workload) -> Pod:
    ports = {each["name"]: each["containerPort"] for each in workload.main.get("ports", ())}
    return Pod(workload.name, workload.namespace, workload.labels, ports)


def _managed(documents: Sequence[Document]) -> Iterator[Document]:
    """What the controller of agent-sandbox makes of a template: both directions, whatever is said."""
    for each in of_kind(documents, "SandboxTemplate"):
        yield {
            "metadata": each["metadata"],
            "spec": {
                "podSelector": {"matchLabels": each["spec"]["podTemplate"]["metadata"]["labels"]},
                "policyTypes": ["Ingress", "Egress"],
                **each["spec"]["networkPolicy"],
            },
        }


@pytest.mark.req("X3")
def test_pods_of_sessions_have_no_way_out(documents: Sequence[Document]) -> None:
    for template in of_kind(documents, "SandboxTemplate"):
        spec = template["spec"]
        assert spec["networkPolicyManagement"] == "Managed"
        assert spec["networkPolicy"]["egress"] == []
        assert spec["podTemplate"]["spec"]["dnsPolicy"] == "None"
        assert spec["podTemplate"]["spec"]["runtimeClassName"] == "gvisor"
        assert spec["envVarsInjectionPolicy"] == "Disallowed"


@pytest.mark.req("K1", "X3")
def test_policies_allow_what_settings_need_and_nothing_else(
    combination: Combination, documents: Sequence[Document]
) -> None:
    cluster = Cluster(combination, documents)
    needed = cluster.needed()
    problems = []
    for pod in cluster.pods:
        for told, allowed, own in (
            ("leave", cluster.network.leaving(pod), {e for e in needed if e.source == pod.name}),
            ("enter", cluster.network.entering(pod), {e for e in needed if e.target == pod.name}),
        ):
            problems += [f"{each} may not {told}" for each in sorted(own - allowed)]
            problems += [f"{each} may {told}, which nobody needs" for each in sorted(allowed - own)]
    assert not problems, "\n".join(problems)


@pytest.mark.req("K1", "X3")
def test_pods_may_do_nothing_unless_it_is_said(
    combination: Combination, documents: Sequence[Document]
) -> None:
    cluster = Cluster(combination, documents)
    for pod in cluster.pods:
        for direction in ("Ingress", "Egress"):
            assert cluster.network.denied_by_default(pod, direction), f"{pod} {direction}"


@pytest.mark.req("X3")
def test_nothing_reaches_metadata_services(documents: Sequence[Document]) -> None:
    """Where clouds keep the identities of nodes."""
    for policy in of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            for peer in rule.get("to", ()):
                if block := peer.get("ipBlock"):
                    assert "169.254.0.0/16" in block.get("except", ()), policy["metadata"]["name"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("credentials:50051", [Address("credentials", 50051)]),
        ("dns:///inference:50055", [Address("inference", 50055)]),
        ("a:1,b.c:2", [Address("a", 1), Address("b.c", 2)]),
        ("https://models.example.com/v1", [Address("models.example.com", 443)]),
        ("http://model-server:8000/v1", [Address("model-server", 8000)]),
        ("postgresql+asyncpg://u:p@db.example.com/x", [Address("db.example.com", 5432)]),
        ("0.0.0.0:50051", []),
        ("data=/data", []),
        ("landlock", []),
        ("4", []),
    ],
)
def test_addresses_in_settings(value: str, told: list[Address]) -> None:
    assert list(addresses(value)) == told


A, B, C = (Pod(each, "one", {"app": each}) for each in "abc")
FAR = Pod("far", "two", {"app": "far"})
PLACES = {
    "one": {"kubernetes.io/metadata.name": "one"},
    "two": {"kubernetes.io/metadata.name": "two"},
}


def policy(selector: Document, *, namespace: str = "one", **spec: object) -> Document:
    types = [each for each, key in (("Ingress", "ingress"), ("Egress", "egress")) if key in spec]
    return {
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"podSelector": selector, "policyTypes": types, **spec},
    }


@pytest.mark.parametrize(
    ("peers", "targets"),
    [
        ([{"podSelector": {"matchLabels": {"app": "b"}}}], {"b"}),
        ([{"podSelector": {}}], {"a", "b", "c"}),
        # two of them in one list are one or the other, in one item both
        ([{"podSelector": {"matchLabels": {"app": "far"}}}], set()),
        (
            [
                {
                    "podSelector": {"matchLabels": {"app": "far"}},
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "two"}},
                }
            ],
            {"far"},
        ),
        ([{"namespaceSelector": {}}], {"a", "b", "c", "far"}),
        ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}], {"in x"}),
        ([{"ipBlock": {"cidr": "0.0.0.0/0"}}], {OUTSIDE}),
        (None, {OUTSIDE}),
        (
            [
                {
                    "podSelector": {
                        "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]
                    }
                }
            ],
            {"b", "c"},
        ),
    ],
)
def test_peers_are_read_as_kubernetes_reads_them(
    peers: list[Document] | None, targets: set[str]
) -> None:
    rule = {"ports": [{"port": 1}]} if peers is None else {"to": peers, "ports": [{"port": 1}]}
    network = Network(
        [policy({"matchLabels": {"app": "a"}}, egress=[rule])], [A, B, C, FAR], PLACES
    )
    assert {edge.target for edge in network.leaving(A)} == targets
    assert network.leaving(B) == set()


def test_rule_without_ports_is_named() -> None:
    network = Network([policy({}, ingress=[{}])], [A], PLACES)
    with pytest.raises(ValueError, match="p opens every port"):
        network.entering(A)
