"""The hosts of a source, and which of them this connector may connect to."""

from collections.abc import Iterable, Sequence

from connectorkit.addresses import refusal
from services.pg_connector.errors import AddressNotAllowed


def require_allowed(host: str, found: Iterable[str], allowed: Sequence[str]) -> None:
    """As `connectorkit.addresses.refusal`. Raises AddressNotAllowed."""
    if why := refusal(host, found, allowed):
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
