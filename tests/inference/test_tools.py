"""A model that calls tools writes the same turns as any other."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.inference.v1 import inference_pb2 as pb
from services.inference.engines import tools
from services.inference.engines.tools import StringArgument, Tagged
from services.inference.models import Message, Role
from tests.inference.test_openai_engine import generated, service, settings, upstream

__all__ = ["settings", "upstream"]


@st.composite
def pieces_of(draw, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(st.data(), st.text(), st.booleans(), st.sampled_from([None, 2]))
def test_argument_out_of_any_pieces(data, value, ascii, indent):
    raw = json.dumps({"code": value}, ensure_ascii=ascii, indent=indent)
    argument = StringArgument("code")
    told = "".join(argument.feed(piece) for piece in data.draw(pieces_of(raw)))
    assert told == value and argument.ended and argument.whole == ""


@given(st.data(), st.text())
def test_argument_never_fails_on_what_a_model_makes_up(data, raw):
    argument = StringArgument("code")
    for piece in data.draw(pieces_of('{"code": "' + raw)):
        argument.feed(piece).encode()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ('{"code": "a\\u00e9\\ud83d\\ude00"}', "aé😀"),
        ('{"code": "\\ud83d"}', "�"),
        ('{"code": "\\ud83dx"}', "�x"),
        ('{"code": "\\uzzzz"}', "�"),
        ('{"code":"\\/\\"\\\\"}', '/"\\'),
        ('{"other": 1, "code": "x"}', "x"),
        ('{"code": "x", "more": "y"}', "x"),
    ],
)
def test_argument_escapes(raw, value):
    for size in (1, 2, 3, len(raw)):
        argument = StringArgument("code")
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        assert "".join(argument.feed(piece) for piece in pieces) == value


def test_words_then_a_program():
    turn = Tagged()
    parts = [turn.say("I look "), turn.say("first."), turn.call(0, "run_python", "")]
    parts += [turn.call(0, "", piece) for piece in ('{"co', 'de": "print(1)\\npr', 'int(2)"}')]
    parts.append(turn.end())
    assert "".join(parts) == (
        "<Analyze>\nI look first.\n</Analyze>\n<Code>\n```python\nprint(1)\nprint(2)\n```\n</Code>"
    )
    assert turn.ran


def test_an_answer_by_call_and_one_in_plain_words():
    turn = Tagged()
    assert turn.call(0, "give_answer", '{"report": "It is 7."}') + turn.end() == (
        "<Answer>\nIt is 7.\n</Answer>"
    )
    turn = Tagged()
    assert turn.say("It is 7.") + turn.end() == (
        "<Analyze>\nIt is 7.\n</Analyze>\n<Answer>\nIt is 7.\n</Answer>"
    )
    assert not turn.ran and Tagged().end() == ""


def test_arguments_that_are_no_object_are_the_program():
    turn = Tagged()
    told = turn.call(0, "python", "print(1)") + turn.end()
    assert told == "<Code>\n```python\nprint(1)\n```\n</Code>"


def test_a_second_call_is_left():
    turn = Tagged()
    turn.call(0, "run_python", '{"code": "1"}')
    assert turn.call(1, "run_python", '{"code": "2"}') == "" and turn.overrun


def test_conversation_as_calls_and_results():
    code = "<Analyze>\nplan\n</Analyze>\n<Code>\n```python\nprint('ä')\n```\n</Code>"
    wire = tools.messages(
        [
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.USER, "before"),
            Message(Role.ASSISTANT, "<Answer>\nseven\n</Answer>"),
            Message(Role.USER, "# Instruction\nHow many?"),
            Message(Role.ASSISTANT, code),
            Message(Role.EXECUTE, "ä\n"),
        ]
    )
    assert [each["role"] for each in wire] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
    ]
    assert wire[0]["content"].endswith("Be brief.") and wire[2]["content"] == "seven"
    (call,) = wire[4]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"code": "print('ä')"}
    assert wire[4]["content"] == "plan" and wire[5]["tool_call_id"] == call["id"]
    assert "<" not in wire[4]["content"]


def called(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"tool_calls": [{"index": index, "type": "function", "function": function}]}


@pytest.mark.req("C4")
async def test_calls_over_the_wire(no_leaks, settings, upstream):
    upstream.script = ["I look.", called(0, "", "run_python"), called(0, '{"code": "pri'),
                       called(0, 'nt(1)"}')]  # fmt: skip
    upstream.finish = "tool_calls"
    async with service(replace(settings, protocol="tools")) as stub:
        text, completion = await generated(stub, stop_after_code=True)
        assert text.endswith("<Code>\n```python\nprint(1)\n```\n</Code>")
        assert completion.matched_stop == "</Code>"
        assert completion.finish_reason == pb.FINISH_REASON_STOP
        asked = upstream.asked[-1]
        names = [each["function"]["name"] for each in asked["tools"]]
        assert names == ["run_python", "give_answer"] and "stop" not in asked

        # two at once: the first counts
        upstream.script = [*upstream.script, called(1, '{"code": "2"}', "run_python")]
        again, _ = await generated(stub, stop_after_code=True)
        assert again == text

        # cut off by a limit: no program
        upstream.finish, upstream.script = "length", upstream.script[:3]
        text, completion = await generated(stub, stop_after_code=True)
        assert "</Code>" not in text and completion.matched_stop == ""
        assert completion.finish_reason == pb.FINISH_REASON_LENGTH

        # plain talk has no tools
        upstream.finish, upstream.script = "stop", ["A title"]
        text, _ = await generated(stub)
        assert text == "A title" and "tools" not in upstream.asked[-1]
