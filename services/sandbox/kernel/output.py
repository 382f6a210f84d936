"""What programs print, in the order that it was printed.

Python's own output goes into a buffer and out as frames; what subprocesses and compiled code write
to the descriptors 1 and 2 comes through pipes. Each write looks into the pipes first, so that both
kinds keep their order wherever the program itself waits for its subprocesses."""

import fcntl
import io
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from .interrupts import Interrupts

Send = Callable[[str, str], None]

_CHUNK = 64 * 1024
_FLUSH_AT = 8 * 1024
_FLUSH_EVERY_S = 0.05
_PIPE_SIZE = 1024 * 1024


class Outlet:
    """Both streams of a process. `send(stream, text)` is called under the lock, whole texts."""

    def __init__(self, send: Send, interrupts: Interrupts) -> None:
        self._send = send
        self._interrupts = interrupts
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._pending: list[str] = []
        self._pending_name = "stdout"
        self._pending_size = 0
        self._pipes = {_piped(1): "stdout", _piped(2): "stderr"}
        self._poll = self._polling()
        threading.Thread(target=self._pump, name="output", daemon=True).start()

    def _polling(self) -> select.poll:
        """One for each thread: they do not share."""
        poll = select.poll()
        for reader in self._pipes:
            poll.register(reader, select.POLLIN)
        return poll

    @property
    def foreign(self) -> bool:
        """This is a forked child: it has the descriptors, but must not touch the frames."""
        return os.getpid() != self._owner

    def write(self, name: str, text: str) -> None:
        with self._interrupts.held(), self._lock:
            if self._poll.poll(0):
                self._drain()
            if name != self._pending_name:
                self._flush_pending()
                self._pending_name = name
            self._pending.append(text)
            self._pending_size += len(text)
            if self._pending_size >= _FLUSH_AT:
                self._flush_pending()

    def flush(self) -> None:
        with self._interrupts.held(), self._lock:
            if self._poll.poll(0):
                self._drain()
            self._flush_pending()

    def _flush_pending(self) -> None:
        if self._pending:
            text = "".join(self._pending)
            self._pending, self._pending_size = [], 0
            for start in range(0, len(text), _CHUNK):
                self._send(self._pending_name, text[start : start + _CHUNK])

    def _drain(self) -> None:
        """What lies in the pipes now; what was printed before goes first."""
        self._flush_pending()
        for reader, name in self._pipes.items():
            # bounded: a subprocess may write faster than this reads
            for _ in range(_PIPE_SIZE // _CHUNK):
                data = _read(reader)
                if not data:
                    break
                self._send(name, data.decode(errors="replace"))

    def _pump(self) -> None:
        poll = self._polling()
        while True:
            ready = poll.poll(_FLUSH_EVERY_S * 1000)
            with self._lock:
                if ready:
                    self._drain()
                else:
                    self._flush_pending()


def _piped(descriptor: int) -> int:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    os.dup2(writer, descriptor)
    os.close(writer)
    os.set_blocking(reader, False)
    return reader


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, _CHUNK)
    except BlockingIOError:
        return b""


class Stream(io.TextIOBase):
    """sys.stdout or sys.stderr of a program."""

    def __init__(self, outlet: Outlet, name: str, descriptor: int) -> None:
        self._outlet = outlet
        self._name = name
        self._descriptor = descriptor

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    @property
    def buffer(self) -> Any:
        """For those who write bytes."""
        return io.BufferedWriter(_Raw(self))

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and self._outlet.foreign:
            os.write(self._descriptor, text.encode(errors="replace"))
        elif text:
            self._outlet.write(self._name, text)
        return len(text)

    def flush(self) -> None:
        if not self._outlet.foreign:
            self._outlet.flush()


class _Raw(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._stream.write(raw.decode(errors="replace"))
        return len(raw)
