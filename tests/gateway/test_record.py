"""A run's record: a value, packed and told."""

import json
import zlib

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import records
from services.gateway.conversation import Message
from services.gateway.record import FORMAT, MAX_BYTES, Transcript, as_json, line, record
from services.gateway.records import moment

pytestmark = pytest.mark.req("T3")
# all that UTF-8 can say, which is what contracts and JSON let in
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.builds(Message, st.sampled_from(["system", "user", "assistant", "execute"]), TEXT)
TRANSCRIPTS = st.builds(
    Transcript,
    TEXT,
    st.lists(st.tuples(TEXT, TEXT)).map(tuple),
    st.lists(MESSAGES).map(tuple),
)


def run(state: str = "COMPLETED", error_reason: str = "") -> analyst.Run:
    made = analyst.Run(
        run_id="run-1",
        thread_id="thread-1",
        model="m",
        state=f"RUN_STATE_{state}",
        error_reason=error_reason,
    )
    made.created_at.CopyFrom(moment(1_796_082_450_250))
    made.ended_at.CopyFrom(moment(1_796_082_453_000))
    made.usage.rounds, made.usage.prompt_tokens, made.usage.completion_tokens = 3, 70, 7
    made.usage.elapsed.FromMilliseconds(2_750)
    return made


@given(TRANSCRIPTS)
def test_transcript_that_is_packed_comes_back_as_it_was(transcript: Transcript) -> None:
    packed = transcript.packed()
    assert packed is not None
    assert Transcript.unpacked(packed) == transcript


@pytest.mark.parametrize(("size", "is_kept"), [(MAX_BYTES, True), (MAX_BYTES + 1, False)])
def test_transcript_is_kept_up_to_a_size_in_bytes(size: int, is_kept: bool) -> None:
    # of two bytes in UTF-8 each, the question too
    texts = ("é" * (size // 2 - 2), "é" + "x" * (size % 2))
    transcript = Transcript("é", (), tuple(Message("user", each) for each in texts))
    assert transcript.size_bytes == size
    assert (transcript.packed() is not None) is is_kept


def test_packed_transcript_is_smaller_than_its_texts() -> None:
    output = "region,orders\n" + "north,12\n" * 4000
    packed = Transcript("q", (), (Message("execute", output),)).packed()
    assert packed is not None and len(packed) < len(output) / 20
    assert zlib.decompress(packed).decode().count("north") == 4000


def test_record_is_as_the_format_says() -> None:
    feedback = analyst.Feedback(rating="down", comment="no", correction="It is 42.")
    feedback.created_at.CopyFrom(moment(1_796_082_460_000))
    transcript = Transcript("How many?", [("sales", "postgresql")], [Message("user", "# x")])
    made = record(run(), transcript, [feedback], ended_by="rounds", cut=True)
    told = json.loads(line(made))
    assert told == {
        "format": "isobath.run/1",
        "run_id": "run-1",
        "thread_id": "thread-1",
        "model": "m",
        "state": "completed",
        "ended_by": "rounds",
        "error_reason": "",
        "created_at": "2026-11-30T23:47:30.250Z",
        "ended_at": "2026-11-30T23:47:33Z",
        "question": "How many?",
        "sources": [{"name": "sales", "type": "postgresql"}],
        "messages": [{"role": "user", "content": "# x"}],
        "cut": True,
        "usage": {"rounds": 3, "prompt_tokens": 70, "completion_tokens": 7, "seconds": 2.75},
        "feedback": [
            {
                "rating": "down",
                "comment": "no",
                "correction": "It is 42.",
                "created_at": "2026-11-30T23:47:40Z",
            }
        ],
    }
    # a person reads what it is first
    assert next(iter(told)) == "format" and told["format"] == FORMAT
    assert list(told) == [field.name for field in analyst.RunRecord.DESCRIPTOR.fields]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("COMPLETED", "completed"),
        ("FAILED", "failed"),
        ("INTERRUPTED", "failed"),
        ("CANCELLED", "cancelled"),
    ],
)
def test_record_says_how_a_run_ended(state: str, told: str) -> None:
    made = record(run(state, error_reason="X"), Transcript("q", (), ()), ended_by="", cut=False)
    assert (made.state, made.error_reason) == (told, "X")
    # what is empty is there too
    assert {
        "messages": [],
        "sources": [],
        "feedback": [],
        "cut": False,
        "ended_by": "",
    }.items() <= (as_json(made).items())


@given(TRANSCRIPTS)
def test_line_of_the_client_is_the_gateways_and_reads_back(transcript: Transcript) -> None:
    made = record(run(), transcript, ended_by="answer", cut=False)
    text = line(made)
    assert records.line(made).encode() == text
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    assert ParseDict(json.loads(text), analyst.RunRecord()) == made
