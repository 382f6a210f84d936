import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.runs import message, run, said, written
from training.data import reading, record
from training.data.reading import Bad, UnreadableFile, records
from training.data.record import Feedback, Record, RecordError, Source


@pytest.mark.req("T3")
def test_record_is_read_whole() -> None:
    parsed = record.parsed(run("run-7", feedback=[said("down", "South.")], cut=True))
    assert parsed.run_id == "run-7" and parsed.thread_id == "thread-run-7"
    assert parsed.sources == (Source("sales", "postgresql"),)
    assert (parsed.state, parsed.ended_by, parsed.cut, parsed.rounds) == (
        "completed",
        "answer",
        True,
        1,
    )
    assert parsed.given == 1 and len(parsed.messages) == 4
    assert parsed.verdict == Feedback("down", "", "South.", "2026-11-02T10:00:00Z")


def test_the_last_word_of_feedback_counts() -> None:
    late, early = said("up", at="2026-11-03T00:00:00Z"), said("down", at="2026-11-01T00:00:00Z")
    verdict = record.parsed(run(feedback=[late, early])).verdict
    assert verdict and verdict.rating == "up"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"format": "isobath.run/2"}, "format has to be isobath.run/1, it is another"),
        ({"format": None}, "format has to be isobath.run/1"),
        ({"run_id": ""}, "run_id has to be text"),
        ({"messages": [message("tool", "")]}, "messages[0].role has to be one of"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content has to be text"),
        ({"messages": "hello"}, "messages has to be a list"),
        ({"messages": ["hello"]}, "messages[0] is no JSON object"),
        ({"messages": [message("user", "\ud800")]}, "messages[0].content holds half a character"),
        ({"cut": "no"}, "cut has to be true or false"),
        ({"usage": {"rounds": -1}}, "usage.rounds has to be a whole number"),
        ({"sources": [{"type": "x"}]}, "sources[0].name has to be text"),
        ({"feedback": [said("great")]}, 'feedback: rating has to be "up", "down" or empty'),
    ],
)
def test_error_names_the_field_and_no_value(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RecordError) as caught:
        record.parsed(run(**fields))
    assert told in str(caught.value)
    assert "hello" not in str(caught.value) and "great" not in str(caught.value)


def test_bad_lines_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    good = json.dumps(run())
    path.write_bytes(f"{good}\n\nnot json: secret\n[1]\n{good}\n".encode() + b"\xff\xfe{}\n{}")
    read = list(records([path]))
    assert [type(each) for each in read] == [Record, Bad, Bad, Record, Bad, Bad]
    told = [str(each) for each in read if isinstance(each, Bad)]
    assert told == [
        f"{path}:3: the line is no JSON",
        f"{path}:4: the line is no JSON object",
        f"{path}:6: the line is no JSON",
        f"{path}:7: format has to be isobath.run/1",
    ]


def test_packed_and_plain_files_are_read_in_their_order(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.jsonl", [run("run-1")])
    packed = tmp_path / "b"
    packed.write_bytes(gzip.compress(json.dumps(run("run-2")).encode()))
    read = [each.run_id for each in records([packed, plain]) if isinstance(each, Record)]
    assert read == ["run-2", "run-1"]


def test_torn_file_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "torn.gz"
    path.write_bytes(gzip.compress(json.dumps(run()).encode() * 100)[:-20])
    with pytest.raises(UnreadableFile, match="cannot be read"):
        list(records([path]))


def test_overlong_line_is_bad_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text("x" * 25_000 + "\n" + json.dumps(run()) + "\n")
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 4_000)
    bad, good = records([path])
    assert isinstance(bad, Bad) and bad.number == 1 and "longer than" in bad.reason
    assert isinstance(good, Record)


def test_scores_are_read_and_a_bad_one_ends(tmp_path: Path) -> None:
    path = written(
        tmp_path / "scores.jsonl",
        [{"run_id": "a", "score": 1}, {"run_id": "b", "score": 0.5}, {"run_id": "a", "score": 0}],
    )
    assert reading.scores(path) == {"a": 0.0, "b": 0.5}
    written(path, [{"run_id": "a", "score": "1"}])
    with pytest.raises(UnreadableFile, match=r"scores.jsonl:1: score has to be a number"):
        reading.scores(path)
