"""Answers that may be given again for a while."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[str, ...]
_MOST = 1024


class Kept(Generic[T]):
    """At most 1,024 answers, each for `ttl_s`."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        self._ttl_s, self._clock = ttl_s, clock
        self._answers: OrderedDict[Key, tuple[float, T]] = OrderedDict()

    def get(self, key: Key) -> T | None:
        found = self._answers.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def put(self, key: Key, answer: T) -> None:
        self._answers[key] = (self._clock() + self._ttl_s, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > _MOST:
            self._answers.popitem(last=False)

    def drop(self, gone: Callable[[Key], bool]) -> None:
        for key in [key for key in self._answers if gone(key)]:
            del self._answers[key]
