"""Time that only goes forward."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_TICK = timedelta(microseconds=1)


class Clock:
    """Each reading is later than the one before, also when the machine's clock is set back: a grant
    minted after a revocation is never taken for an older one, nor the other way round."""

    def __init__(self, read: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._read = read
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        self._last = max(self._read(), self._last + _TICK)
        return self._last
