"""Several events as one value."""

import pytest

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.event_pages import MAX_EVENTS, cut, packed, unpacked


def events(count: int) -> list[analyst.Event]:
    block = analyst.BlockText(kind=analyst.BLOCK_KIND_ANSWER, text="ü" * 300)
    return [analyst.Event(run_id="r", sequence=n, block_text=block) for n in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, MAX_EVENTS, MAX_EVENTS + 1, 3 * MAX_EVENTS])
def test_pages_give_back_what_was_packed(count: int) -> None:
    pages = [(len(page), packed(page)) for page in cut(events(count))]
    assert [event for size, data in pages for event in unpacked(size, data)] == events(count)
    assert max(size for size, _ in pages) <= MAX_EVENTS


def test_page_of_one_is_the_event_itself() -> None:
    (event,) = events(1)
    assert packed([event]) == event.SerializeToString()
