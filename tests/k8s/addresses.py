"""Who has whose address: the edges that services need, out of their settings. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Document = Mapping[str, Any]
_PORTS = {"http": 80, "https": 443, "postgresql": 5432}
_HOST_PORT = re.compile(r"^(?:dns:///)?(?P<host>[a-z][a-z0-9.-]*):(?P<port>\d+)$")


@dataclass(frozen=True)
class Address:
    host: str
    port: int


def addresses(value: str) -> Iterator[Address]:
    """host:port, dns:///host:port and URLs, alone or with commas between; not what is bound to."""
    for each in value.split(","):
        if found := _HOST_PORT.match(each.strip()):
            yield Address(found["host"], int(found["port"]))
        elif "://" in each:
            url = urlsplit(each.strip())
            scheme = url.scheme.partition("+")[0]
            if url.hostname and scheme in _PORTS:
                yield Address(url.hostname, url.port or _PORTS[scheme])


@dataclass(frozen=True)
class Names:
    """Services by name and namespace: what a host and port lead to."""

    services: Sequence[Document]

    def find(self, address: Address, namespace: str) -> tuple[Document, Document] | None:
        """The Service and its port; None where the host is not of this cluster. Raises LookupError
        for a Service of ours without such a port."""
        name, _, rest = address.host.partition(".")
        place = rest.partition(".")[0] or namespace
        for each in self.services:
            metadata = each["metadata"]
            if (metadata["name"], metadata["namespace"]) == (name, place):
                for port in each["spec"]["ports"]:
                    if port["port"] == address.port:
                        return each, port
                raise LookupError(f"{address.host} has no port {address.port}")
        return None
