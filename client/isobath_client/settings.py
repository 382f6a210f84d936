"""Where the gateway is, and the key to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isobath_client.errors import IsobathError

DEFAULT_ADDRESS = "127.0.0.1:50050"


@dataclass(frozen=True)
class Connection:
    """The gateway's gRPC address, and an API key, which `repr` leaves out."""

    address: str
    api_key: str = field(repr=False)


def resolve(environ: Mapping[str, str], *, address: str = "", api_key: str = "") -> Connection:
    """Find the gateway: what is given, else the environment, else a running `make up`.

    Reads `ISOBATH_ADDRESS` and `ISOBATH_API_KEY`, then `$ISOBATH_HOME/ready.json` (default
    `.isobath`). Raises `IsobathError` when no key is found.
    """
    ready = _ready(Path(environ.get("ISOBATH_HOME", ".isobath")))
    address = address or environ.get("ISOBATH_ADDRESS", "") or ready.get("grpc", DEFAULT_ADDRESS)
    api_key = api_key or environ.get("ISOBATH_API_KEY", "") or ready.get("api_key", "")
    if not api_key:
        raise IsobathError(
            "UNAUTHENTICATED",
            "There is no API key.",
            "Set ISOBATH_API_KEY, or point ISOBATH_HOME at the home of a running `make up`.",
            {},
        )
    return Connection(address, api_key)


def _ready(home: Path) -> dict[str, str]:
    path = home / "ready.json"
    if not path.is_file():
        return {}
    loaded: dict[str, str] = json.loads(path.read_text())
    return loaded
