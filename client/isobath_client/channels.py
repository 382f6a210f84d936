"""How channels to a gateway are set up, by either client."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from isobath_client.addresses import Target, target

RECEIVE_BYTES = 64 * 1024 * 1024
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    # a gateway that vanished without a word is noticed within 30 s, during a call
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # one that was restarted is found again soon
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class Dialling:
    """An address, and the authorities to believe there; None = TLS is not spoken."""

    target: Target
    credentials: grpc.ChannelCredentials | None


def dialling(address: str, tls: bool | None, ca: Path | bytes | None) -> Dialling:
    """`ca` (PEM, or a file of it) stands for TLS unless the address contradicts. Raises ValueError,
    OSError."""
    found = target(address, tls=True if ca is not None and tls is None else tls)
    if not found.tls:
        return Dialling(found, None)
    believed = ca.read_bytes() if isinstance(ca, Path) else ca
    return Dialling(found, grpc.ssl_channel_credentials(root_certificates=believed))
