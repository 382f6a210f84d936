"""How long to wait before another attempt."""

import random
from collections.abc import Iterator

_FIRST_S = 0.25
_LONGEST_S = 8.0


def delays(retries: int) -> Iterator[float]:
    """Doubling from 0.25 s to 8 s, each drawn from the upper half so that callers drift apart."""
    for attempt in range(retries):
        full = min(_FIRST_S * 2**attempt, _LONGEST_S)
        yield random.uniform(full / 2, full)  # noqa: S311 - spreads load, guards nothing
