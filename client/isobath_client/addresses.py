"""Where a gateway is, and whether to speak TLS to it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

TLS_SCHEMES = {"https": True, "grpcs": True, "http": False, "grpc": False}
DEFAULT_PORTS = {True: 443, False: 50050}


@dataclass(frozen=True)
class Target:
    """What gRPC dials."""

    address: str
    tls: bool


def target(address: str, *, tls: bool | None = None) -> Target:
    """Read `host:port`, or a URL such as `https://isobath.example.com`.

    The scheme says whether it is TLS, or `tls`; without either it is not. Raises ValueError for
    what is no such address, and for a scheme that `tls` contradicts.
    """
    if "://" not in address:
        return Target(address, bool(tls))
    url = urlsplit(address)
    wanted = TLS_SCHEMES.get(url.scheme)
    if wanted is None or not url.hostname or url.path.strip("/") or url.query:
        raise ValueError(f"{address!r} is neither HOST:PORT nor https://HOST[:PORT]")
    if tls is not None and tls != wanted:
        raise ValueError(f"{address} and tls={tls} contradict each other")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Target(f"{host}:{url.port or DEFAULT_PORTS[wanted]}", wanted)
