"""Free TCP ports on loopback, for what cannot bind port 0 itself."""

import secrets
import socket
from collections.abc import Iterable

# below what kernels give to outgoing connections and to port 0 (from 32768 on Linux, 49152 on
# macOS): neither takes one between the look and its use, and who looks at the same time hardly
# ever finds the same
_FIRST, _LAST = 12_000, 32_000


def free_port() -> int:
    """One that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    found: list[int] = []
    while len(found) < count:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in found and not taken([port]):
            found.append(port)
    return found


def taken(ports: Iterable[int]) -> list[int]:
    """Those that cannot be bound now, because another program listens there."""
    return [port for port in ports if not _bindable(port)]


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: ports whose last connections are still winding down are free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
