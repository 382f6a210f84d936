"""Free TCP ports on loopback."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different. Another process may take one before it is
    used: whoever cannot bind port 0 itself has to try again."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


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
