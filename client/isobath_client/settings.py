"""Where the gateway is, and the key to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isobath_client.errors import IsobathError, Unauthenticated

DEFAULT_ADDRESS = "127.0.0.1:50050"


@dataclass(frozen=True)
class Connection:
    """The gateway's gRPC address, and an API key, which `repr` leaves out. `ca` is a PEM file of
    the authorities that are believed, where those of the system are not meant."""

    address: str
    api_key: str = field(repr=False)
    ca: Path | None = None


def resolve(
    environ: Mapping[str, str],
    *,
    address: str = "",
    api_key: str = "",
    api_key_file: Path | None = None,
) -> Connection:
    """Find the gateway: what is given, else the environment, else a running `make up`.

    Reads `ISOBATH_ADDRESS`, `ISOBATH_API_KEY` or `ISOBATH_API_KEY_FILE`, `ISOBATH_CA_FILE`, then
    `$ISOBATH_HOME/ready.json` (default `.isobath`). Raises `IsobathError` when no key is found, or
    a file of them cannot be read.
    """
    ready = _ready(Path(environ.get("ISOBATH_HOME", ".isobath")))
    address = address or environ.get("ISOBATH_ADDRESS", "") or ready.get("grpc", DEFAULT_ADDRESS)
    key = api_key or _read(api_key_file) or environ.get("ISOBATH_API_KEY", "")
    if not key and (named := environ.get("ISOBATH_API_KEY_FILE")):
        key = _read(Path(named))
    key = key or ready.get("api_key", "")
    if not key:
        raise Unauthenticated(
            "UNAUTHENTICATED",
            "There is no API key.",
            "Set ISOBATH_API_KEY or ISOBATH_API_KEY_FILE, or point ISOBATH_HOME at the home of a "
            "running `make up`.",
        )
    ca = environ.get("ISOBATH_CA_FILE")
    return Connection(address, key, Path(ca) if ca else None)


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as unread:
        reason = "INVALID_FIELD"
        raise IsobathError(reason, f"The key's file cannot be read: {unread}.") from unread


def _ready(home: Path) -> dict[str, str]:
    path = home / "ready.json"
    if not path.is_file():
        return {}
    loaded: dict[str, str] = json.loads(path.read_text())
    return loaded
