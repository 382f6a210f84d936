"""Where a connector may connect to. A source's host is chosen by a user, and the connector stands
inside the network."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer the machine itself, beside the link-local ones: Alibaba, Azure, AWS over IPv6.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)


def refusal(host: str, found: Iterable[str], allowed: Sequence[str]) -> str:
    """Why a host is not connected to, or "".

    `found` are the addresses that the host's name has. `allowed` are patterns of names, and
    networks such as 10.2.0.0/16; none = everywhere but where no source is.

    A name may have another address a moment later; whoever does not trust the names that users
    choose sets networks and lets the network itself refuse the rest.
    """
    addresses = [_address(each) for each in found]
    if _named(host, allowed):
        return ""
    inside = [_in_networks(address, allowed) for address in addresses]
    if inside and all(inside):
        return ""
    if allowed:
        return "it is not among the allowed hosts"
    return next(filter(None, map(_unfit, addresses)), "")


async def addresses_of(host: str, port: int) -> list[str]:
    """None for a name that is not known: connecting tells that better."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def _address(text: str) -> _Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _named(host: str, allowed: Iterable[str]) -> bool:
    return any(fnmatchcase(host.lower(), pattern.lower()) for pattern in allowed)


def _in_networks(address: _Address, allowed: Iterable[str]) -> bool:
    networks = (_network(pattern) for pattern in allowed)
    return any(network is not None and address in network for network in networks)


def _network(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def _unfit(address: _Address) -> str:
    if address.is_link_local or address in _METADATA:
        return "it is an address of the machine's own network, where metadata services answer"
    if address.is_multicast or address.is_unspecified:
        return "it is not the address of a host"
    return ""
