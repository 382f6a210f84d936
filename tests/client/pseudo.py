"""The `isobath` command in a terminal of its own, as a person sits before it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|_G[^\x1b]*\x1b\\)|\r")
PATIENCE_S = 60.0


class Terminal:
    """`raw` is all that came, `text` the same without colours and movements."""

    def __init__(self, words: list[str], environ: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        command = [sys.executable, "-m", "isobath_client.cli", *words]
        base = {k: v for k, v in os.environ.items() if not k.startswith("ISOBATH_")}
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**base, "TERM": "xterm-256color", "COLUMNS": "200", **environ},
            # its controlling terminal, so that Ctrl-C reaches it
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self.raw = ""
        self._seen = 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._fd)

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw)

    def expect(self, words: str) -> None:
        """Wait until these come, after what was expected before."""
        until = time.monotonic() + PATIENCE_S
        while (found := self.text.find(words, self._seen)) < 0:
            if not self._read(until):
                raise AssertionError(f"{words!r} did not come in {self.text[self._seen :]!r}")
        self._seen = found + len(words)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.type("\x03")

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit code, once all is read."""
        until = time.monotonic() + PATIENCE_S
        while self._read(until):
            pass
        return self._process.wait(timeout=PATIENCE_S)

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 64 * 1024)
        except OSError:
            return False  # the other end is closed
        self.raw += data.decode(errors="replace")
        return bool(data)


def _take_terminal() -> None:
    import fcntl
    import termios

    # a suite that runs in the background ignores Ctrl-C, and what it starts would too
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
