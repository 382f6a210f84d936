"""How much is on its way at once: more where more of it makes it faster.

A server that answers late, or that gives each connection a share only, is read faster by more
requests at a time; one that is near is not, and memory is all that they would take.
"""

from collections.abc import Callable

# faster by so much, or the larger window is not worth its memory
_WORTH = 1.25


class Pace:
    """`bytes` may be on their way: `least` at first, never more than `most`. Each time that twice
    as many have arrived, the second half's rate is held against the best before: where it is worth
    it the window doubles, and where it is not it goes back to the one before, and stays. The first
    half is left out: connections are opened in it, and a window that grew is filled."""

    def __init__(self, least: int, most: int, clock: Callable[[], float]) -> None:
        self.bytes = least
        self._before, self._most = least, most
        self._clock = clock
        self._best = 0.0
        self._settled = most <= least
        self._arrived, self._since = 0, 0.0

    def arrived(self, size: int) -> None:
        if self._settled:
            return
        before, self._arrived = self._arrived, self._arrived + size
        if before < self.bytes <= self._arrived:
            self._since = self._clock()
            self._arrived = self.bytes
        elif self._arrived >= 2 * self.bytes:
            self._judge(self.bytes / max(self._clock() - self._since, 1e-9))
            self._arrived = 0

    def _judge(self, rate: float) -> None:
        if rate < _WORTH * self._best:
            self.bytes, self._settled = self._before, True
            return
        self._best, self._before = rate, self.bytes
        self.bytes = min(2 * self.bytes, self._most)
        self._settled = self.bytes == self._before
