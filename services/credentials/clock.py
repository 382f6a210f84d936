"""Time that only goes forward."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_TICK = timedelta(microseconds=1)


class Clock:
    """Each reading is later than the one before, also when the machine's clock is set back: a grant
    minted after a revocation is never taken for an older one, nor the other way round."""

    def __init__(self, read: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._read = read
        self._ahead = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        self._last = max(self._read() + self._ahead, self._last + _TICK)
        return self._last

    def heard(self, now: datetime) -> None:
        """What the clock of the database says, which all replicas go by: what is read here is never
        before that, and not after what it says then."""
        self._ahead = now - self._read()
        self.passed(now)

    def passed(self, at: datetime) -> None:
        """Something happened then: what is read from now on is later."""
        self._last = max(self._last, at)
