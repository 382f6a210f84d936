"""The window of ranged reads on a link that is computed instead of waited for."""

import pytest

from services.blob_connector.pace import Pace

MIB = 1024 * 1024


def settled(latency_s: float, rate: float, *, most: int = 32, reader: float = 1e12) -> int:
    """MiB on their way after 1 GiB, over a link of `rate` bytes/s in all, where each window takes
    `latency_s` until its first byte, to a reader of `reader` bytes/s."""
    now = 0.0
    pace = Pace(16 * MIB, most * MIB, lambda: now)
    for _ in range(256):
        share = 4 * MIB / pace.bytes
        now += max(share * latency_s + 4 * MIB / rate, 4 * MIB / reader)
        pace.arrived(4 * MIB)
    return pace.bytes // MIB


@pytest.mark.req("B8")
@pytest.mark.parametrize(
    ("latency_s", "rate", "mib"),
    [
        (0.0, 1e9, 16),
        (0.001, 1e9, 16),
        (0.02, 1e9, 32),
        (0.02, 1e8, 16),
        (0.2, 1e8, 32),
    ],
)
def test_window_grows_where_waiting_is_most_of_the_time(
    latency_s: float, rate: float, mib: int
) -> None:
    assert settled(latency_s, rate) == mib


def test_window_grows_step_by_step_as_long_as_it_is_worth_it() -> None:
    assert settled(0.2, 1e10, most=128) == 128
    assert settled(0.03, 1e9, most=128) == 64


def test_window_of_a_slow_reader_stays() -> None:
    assert settled(0.02, 1e9, reader=1e7) == 16


def test_window_that_may_not_grow_stays() -> None:
    assert settled(0.2, 1e10, most=0) == 16
