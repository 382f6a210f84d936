"""SIGINT as KeyboardInterrupt, in programs only, and never in the middle of a frame."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Python runs signal handlers in the main thread, between two of its instructions: plain
    attributes are enough to keep count there."""

    def __init__(self) -> None:
        self._running = False
        self._depth = 0
        self._pending = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._running:
            return  # came too late: the program has ended
        if self._depth:
            self._pending = True
            return
        raise KeyboardInterrupt

    @contextmanager
    def program(self) -> Iterator[None]:
        """Interrupts count within. One that comes at the very end may still be raised."""
        # a program may have put a handler of its own in place, and left it
        signal.signal(signal.SIGINT, self._on_signal)
        self._pending = False
        self._running = True
        try:
            yield
        finally:
            self._running = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, an interrupt waits."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._pending and not self._depth:
            self._pending = False
            raise KeyboardInterrupt
