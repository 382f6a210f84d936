"""Where this connector may connect to. A source's host is chosen by a user, and this process stands
inside the network."""

import ipaddress
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from services.pg_connector.errors import AddressNotAllowed

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer the machine itself, beside the link-local ones: Alibaba, Azure, AWS over IPv6.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)


def require_allowed(host: str, found: Iterable[str], allowed: Sequence[str]) -> None:
    """`found` are the addresses that the host's name has. `allowed` are patterns of names, and
    networks such as 10.2.0.0/16; none = everywhere but where no database is.

    Raises AddressNotAllowed. A name may have another address a moment later; whoever does not trust
    the names that users choose sets networks and lets the network itself refuse the rest.
    """
    addresses = [_address(each) for each in found]
    if _named(host, allowed):
        return
    inside = [_in_networks(address, allowed) for address in addresses]
    if inside and all(inside):
        return
    if allowed:
        raise AddressNotAllowed(host, "it is not among the allowed hosts")
    for address in addresses:
        if why := _refusal(address):
            raise AddressNotAllowed(host, why)


def hosts_of(given: str | Sequence[str], port: int) -> tuple[tuple[str, int], ...]:
    """("db1:5433,db2", 5432) → (("db1", 5433), ("db2", 5432)). Raises ValueError."""
    texts = given.split(",") if isinstance(given, str) else given
    return tuple(_host(text.strip(), port) for text in texts)


def _host(text: str, port: int) -> tuple[str, int]:
    if not text or "\0" in text:
        raise ValueError("a host is empty")
    if text.startswith("["):
        name, _, after = text[1:].partition("]")
        return name, _port(after.removeprefix(":"), port)
    # a unix socket's folder, or an IPv6 address without a port
    if text.startswith("/") or text.count(":") > 1:
        return text, port
    name, _, after = text.partition(":")
    return name, _port(after, port)


def _port(text: str, unset: int) -> int:
    if not text:
        return unset
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"{text} is no port")
    return int(text)


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


def _refusal(address: _Address) -> str:
    if address.is_link_local or address in _METADATA:
        return "it is an address of the machine's own network, where metadata services answer"
    if address.is_multicast or address.is_unspecified:
        return "it is not the address of a host"
    return ""
