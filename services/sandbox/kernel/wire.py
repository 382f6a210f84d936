"""Frames over a socket, blocking."""

import contextlib
import socket
import threading
from typing import Any

from .interrupts import Interrupts
from .protocol import Decoder, Frame, Kind, encode

_READ = 256 * 1024


class Closed(ConnectionError):
    """The other end is gone."""


class Wire:
    """`interrupts`: where given, none breaks a frame that is being sent."""

    def __init__(self, connection: socket.socket, interrupts: Interrupts | None = None) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._lock = threading.RLock()
        self._held = interrupts.held if interrupts else contextlib.nullcontext

    def send(self, kind: Kind, header: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        frame = encode(kind, header, payload)
        with self._held(), self._lock:
            self._connection.sendall(frame)

    def receive(self) -> Frame:
        """Raises Closed."""
        while not self._frames:
            data = self._connection.recv(_READ)
            if not data:
                raise Closed("the other end is gone")
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def close(self) -> None:
        self._connection.close()
