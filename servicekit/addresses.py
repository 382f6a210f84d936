"""What a bind or dial address says."""

import ipaddress

UNIX = "unix:"


def is_unix(address: str) -> bool:
    return address.startswith(UNIX)


def split_host_port(address: str) -> tuple[str, int]:
    """ "127.0.0.1:80", "[::1]:80". Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def is_local(address: str) -> bool:
    """A unix socket or a loopback address: nobody from outside the machine gets there."""
    if is_unix(address):
        return True
    host, _ = split_host_port(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class CannotListen(OSError):
    def __init__(self, bind: str) -> None:
        super().__init__(f"cannot listen on {bind}: the address is taken or not of this machine")
