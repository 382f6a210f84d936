"""Text filled into a template is what the general way makes of it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.http.chat import _Completions
from services.gateway.http.runs import _message
from services.gateway.openai import Chunks
from services.gateway.text_events import TextEvents

pytestmark = pytest.mark.req("C3")

RUN = "run-0123456789abcdef01234567"
_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_nanos = st.one_of(
    st.integers(0, 999_999_999),
    st.integers(0, 999_999).map(lambda n: n * 1_000),
    st.integers(0, 999).map(lambda n: n * 1_000_000),
)


@st.composite
def events(draw: st.DrawFn) -> analyst.Event:
    kind: Any = draw(st.sampled_from([*analyst.BlockKind.values(), 77]))
    event = analyst.Event(run_id=RUN, sequence=draw(st.integers(-1, 2**63 - 1)))
    event.block_text.CopyFrom(analyst.BlockText(kind=kind, text=draw(_words)))
    event.at.seconds = draw(st.integers(-10, 253_402_300_799))
    event.at.nanos = draw(_nanos)
    return event


@given(st.lists(events(), max_size=8), _words)
def test_chunk_of_text_is_what_the_general_way_makes(told: list[analyst.Event], model: str) -> None:
    rendering = _Completions(RUN, model, include_usage=False)
    general = Chunks(RUN, model, created=rendering._created, include_usage=False)
    for event in told:
        made = b"".join(rendering.of(event, "request-1"))
        (chunk,) = general.of(event, "request-1")
        assert made.startswith(b"data: ") and made.endswith(b"\n\n")
        assert orjson.loads(made[6:]) == orjson.loads(orjson.dumps(chunk))


@given(st.lists(events(), max_size=8))
def test_event_of_text_is_what_the_general_way_makes(told: list[analyst.Event]) -> None:
    quick = TextEvents(_message)
    assert [quick.of(event) for event in told] == [_message(event) for event in told]
