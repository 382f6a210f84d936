"""What of an answer the API's page shows, and when an answer no longer looks like it."""

from pathlib import Path
from typing import Any

import pytest

from dev.examples import Answer, Example, ExampleFailed, Shell
from dev.shown import difference, events, firsts, kind, stream_difference, trimmed


def test_first_of_many_the_beginning_of_what_is_long_and_nothing_deep() -> None:
    value = {"data": [1, 2, 3], "text": "x" * 300, "deep": {"er": {"est": 1}}, "none": []}
    shown = trimmed(value, 2)
    assert shown["data"] == [1, 2, "…"] and shown["none"] == []
    assert shown["text"] == "x" * 240 + "…"
    assert shown["deep"] == {"er": {"…": "…"}}
    assert trimmed("\n".join("abcdefgh"), 2) == "a\nb\nc\nd\ne\nf\n…"


def test_keys_and_places_of_no_meaning_are_not_shown() -> None:
    services = {"connector 127.0.0.1:4711": "SERVING", "connector 127.0.0.1:4712": "SERVING"}
    shown = trimmed({"key": "isb-secret", "url": "http://127.0.0.1:4713/v1", **services}, 3)
    assert shown["key"] == "isb-…" and shown["url"] == "http://127.0.0.1:8200/v1"
    assert [name for name in shown if name.startswith("connector")] == [
        "connector 10.0.0.7:50052",
        "connector 10.0.0.8:50052",
    ]


def test_events_of_a_stream_are_told_apart_by_what_they_hold() -> None:
    text = (
        ": run run-1\n\n"
        'id: 1\ndata: {"run_id": "r", "started": {}}\n\n'
        'id: 2\ndata: {"run_id": "r", "notice": {"text": "a"}}\n\n'
        'id: 3\ndata: {"run_id": "r", "notice": {"text": "b"}}\n\n'
        ": keep-alive\n\n"
        "data: [DONE]\n\n"
    )
    told = events(text)
    assert [kind(each) for each in told] == ["started", "notice", "notice", "[DONE]"]
    assert [each.get("id") for each in firsts(told, 5)] == ["1", "2", None]
    assert kind({"id": "x", "isobath": {"run_id": "r", "at": "t", "figure": {}}}) == "figure"
    assert kind({"type": "response.created", "response": {}}) == "response.created"


SHOWN: dict[str, Any] = {"a": 1, "list": [{"b": "x"}, "…"], "none": None}


@pytest.mark.parametrize(
    ("came", "told"),
    [
        ({"a": 2.5, "list": [{"b": "y"}, {"b": "z"}], "none": None}, None),
        ({**SHOWN, "more": 1}, "$.more is only in what came"),
        ({"a": 1, "list": SHOWN["list"]}, "$.none is only in what is shown"),
        ({**SHOWN, "a": "1"}, "$.a is text, where a number is shown"),
        ({**SHOWN, "a": True}, "$.a is a truth value, where a number is shown"),
        ({**SHOWN, "none": 1}, "$.none is a number, where null is shown"),
        ({**SHOWN, "list": [{"c": 1}]}, "$.list[0].b is only in what is shown"),
        ({**SHOWN, "list": []}, "$.list is empty in only one"),
    ],
)
def test_difference_is_of_names_and_kinds(came: Any, told: str | None) -> None:
    found = list(difference(SHOWN, came))
    assert found == [] if told is None else told in found


def test_difference_of_streams_is_of_the_kinds_and_of_one_of_each() -> None:
    shown = [{"started": {"tier": "a"}}, {"fetch_progress": {}}, {"completed": {"n": 1}}]
    assert not [*stream_difference(shown, [*shown, {"notice": {}}])]
    assert not [*stream_difference(shown, [shown[0], shown[2]])]
    assert [*stream_difference(shown, shown[:2])] == ["completed is shown, and did not come"]
    other = [{"started": {"level": "a"}}, *shown[1:]]
    assert [*stream_difference(shown, other)] == [
        "started.started.level is only in what came",
        "started.started.tier is only in what is shown",
    ]


def test_status_and_type_count_too() -> None:
    shown = Answer("application/json", {}, 200)
    assert not [*shown.differences(Answer("application/json", {}, 200, whole={"a": 1}))]
    assert [*shown.differences(Answer("text/csv", {}, 206))]


def test_command_that_fails_is_no_answer(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "http://127.0.0.1:1", "key")
    with pytest.raises(ExampleFailed, match="nothing: "):
        shell.run(Example("nothing", "nothing", "curl $ISOBATH/health"))
    other = "echo '{}'; echo '404 application/json' >&2"
    with pytest.raises(ExampleFailed, match=r"other: 404"):
        shell.run(Example("other", "other", other))
