"""Where the replicas of a service are: in a list, or behind a name that has an address for each."""

import asyncio
import socket
from collections.abc import Iterable, Mapping

from servicekit import logs
from servicekit.addresses import is_unix, split_host_port

# before a name of which each address is a replica, as a headless Service of Kubernetes has it
DNS = "dns:///"
# gRPC's own way to list addresses; what stands behind is a list as any other
_IPV4 = "ipv4:"
# how often a name is looked up
LOOK_UP_S = 10.0
_log = logs.get(__name__)


def listed(address: str) -> tuple[str, ...]:
    """What stands between the commas of a setting."""
    parts = (each.strip().removeprefix(_IPV4) for each in address.split(","))
    return tuple(each for each in parts if each)


def check_listed(address: str) -> None:
    """Raises ValueError for what is no list of addresses."""
    for each in listed(address):
        if not is_unix(each):
            split_host_port(each.removeprefix(DNS))


def is_several(address: str) -> bool:
    """Whether it may stand for more than one replica."""
    return address.startswith((DNS, _IPV4)) or "," in address


class Names:
    """The addresses that a list stands for, looked up anew every so often. A name that is not found
    keeps those that it had."""

    def __init__(self, listed: Iterable[str], *, every_s: float = LOOK_UP_S) -> None:
        self._listed, self._every_s = tuple(listed), every_s
        self._found: dict[str, Mapping[str, str]] = {}
        self._looked_up = float("-inf")
        self._looking = asyncio.Lock()

    async def places(self, *, anew: bool = False) -> Mapping[str, str]:
        """Address to dial -> the name in its certificate, "" where the address itself is that."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if anew or now - self._looked_up >= self._every_s:
                for each in self._listed:
                    if found := await look_up(each):
                        self._found[each] = found
                self._looked_up = now
        return {at: name for found in self._found.values() for at, name in found.items()}


async def look_up(address: str) -> Mapping[str, str]:
    """Of one of the list; nothing where the name is not found."""
    if not address.startswith(DNS):
        return {address: ""}
    name, port = split_host_port(address.removeprefix(DNS))
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        _log.warning("name_not_found", name=name, error=str(exc))
        return {}
    hosts = sorted({str(info[4][0]) for info in infos})
    return {f"[{host}]:{port}" if ":" in host else f"{host}:{port}": name for host in hosts}
