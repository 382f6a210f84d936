"""Who waits for the answer of a run: the last one that leaves cancels it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Attendance:
    """Of the requests to this gateway. While it `is_leaving`, who goes was sent away, and has not
    left the run."""

    def __init__(self, is_leaving: Callable[[], bool]) -> None:
        self._is_leaving = is_leaving
        # how many requests wait for the answer of a run
        self._attending: Counter[str] = Counter()

    @contextmanager
    def attended(self, run_id: str) -> Iterator[Callable[[], bool]]:
        """While a request waits for the answer of a run; gives whether it is the only one that
        does, so that the run ends with it. With an idempotency key there may be several."""
        self._attending[run_id] += 1
        try:
            yield lambda: self._attending[run_id] == 1 and not self._is_leaving()
        finally:
            self._attending[run_id] -= 1
            if not self._attending[run_id]:
                del self._attending[run_id]
