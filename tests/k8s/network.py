"""Who may reach whom, as NetworkPolicies say it. Pure.

A policy is read as Kubernetes reads it: a pod that policies of a direction select may do what any of
them allows and nothing else; both ends have to allow a connection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]
# of no pod of ours
OUTSIDE = "outside"
ANYBODY = "anybody"
NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    name: str
    namespace: str
    labels: Mapping[str, str] = field(hash=False)
    # by their names
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, order=True)
class Edge:
    """`source` and `target`: pods by name, OUTSIDE, ANYBODY, or a namespace as `in NAME`. Of a range
    of ports `port` is the first, and `protocol` tells the last too."""

    source: str
    target: str
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.source} → {self.target}:{self.port}/{self.protocol}"


class Network:
    """`namespaces`: their labels, by name."""

    def __init__(
        self,
        policies: Sequence[Document],
        pods: Sequence[Pod],
        namespaces: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._policies, self._pods, self._namespaces = policies, pods, namespaces

    def denied_by_default(self, pod: Pod, direction: str) -> bool:
        """Whether a policy of its namespace selects every pod, and allows none of them anything."""
        return any(
            not policy["spec"]["podSelector"] and not policy["spec"].get(direction.lower())
            for policy in self._of(pod, direction)
        )

    def leaving(self, pod: Pod) -> set[Edge]:
        """What its own end allows."""
        return {
            Edge(pod.name, target, port, protocol)
            for policy in self._of(pod, "Egress")
            for rule in policy["spec"].get("egress", ())
            for target in self._peers(policy, rule.get("to"), OUTSIDE)
            for port, protocol in _ports(policy, rule, {})
        }

    def entering(self, pod: Pod) -> set[Edge]:
        return {
            Edge(source, pod.name, port, protocol)
            for policy in self._of(pod, "Ingress")
            for rule in policy["spec"].get("ingress", ())
            for source in self._peers(policy, rule.get("from"), ANYBODY)
            for port, protocol in _ports(policy, rule, pod.ports)
        }

    def _of(self, pod: Pod, direction: str) -> Iterator[Document]:
        for policy in self._policies:
            if policy["metadata"]["namespace"] != pod.namespace:
                continue
            spec = policy["spec"]
            if direction in spec["policyTypes"] and matches(spec["podSelector"], pod.labels):
                yield policy

    def _peers(
        self, policy: Document, peers: Sequence[Document] | None, without: str
    ) -> Iterator[str]:
        if peers is None:
            yield without
            return
        for peer in peers:
            if "ipBlock" in peer:
                yield OUTSIDE
                continue
            yield from self._selected(policy, peer)

    def _selected(self, policy: Document, peer: Document) -> Iterator[str]:
        there = peer.get("namespaceSelector")
        inside = peer.get("podSelector", {})
        for pod in self._pods:
            labels = self._namespaces.get(pod.namespace, {})
            here = pod.namespace == policy["metadata"]["namespace"]
            if (here if there is None else matches(there, labels)) and matches(inside, pod.labels):
                yield pod.name
        name = (there or {}).get("matchLabels", {}).get(NAME)
        if name is not None and name not in self._namespaces:
            yield f"in {name}"


def matches(selector: Document, labels: Mapping[str, str]) -> bool:
    """A LabelSelector; the empty one selects all."""
    exact = all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
    return exact and all(_holds(each, labels) for each in selector.get("matchExpressions", ()))


def _holds(expression: Document, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(expression["operator"])


def _ports(policy: Document, rule: Document, named: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """A name is that of a port of the pod which is reached; a pod without one is not reached."""
    if "ports" not in rule:
        raise ValueError(f"{policy['metadata']['name']} opens every port")
    for each in rule["ports"]:
        protocol = each.get("protocol", "TCP")
        if "endPort" in each:
            protocol += f" to {each['endPort']}"
        if isinstance(each["port"], int):
            yield each["port"], protocol
        elif each["port"] in named:
            yield named[each["port"]], protocol
