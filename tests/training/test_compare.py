"""Turns of recorded conversations by two models: where they part, and the command over real gRPC."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.errors import ModelRefused
from services.inference.models import Completion, Delta, Event, Finish, Request, Usage
from tests.inference.scripted import Scripted, replica
from tests.training.test_push import command
from tests.training.test_quantize import line
from training.data import conversation
from training.serving import comparing
from training.serving.comparing import Asked, Compared, Said, parts_at

pytestmark = pytest.mark.req("T4", "T5")


@pytest.mark.parametrize(
    ("one", "other", "at"),
    [
        ("", "", None),
        ("a", "a", None),
        (" a\n", "a", None),
        ("abc", "abd", 2),
        ("ab", "abc", 2),
        ("", "x", 0),
        ("größe", "grösse", 3),
    ],
)
def test_parts_at(one, other, at):
    assert parts_at(one, other) == at


words = st.text("abc", max_size=8)


@given(words, words)
def test_up_to_where_they_part_they_are_equal_and_there_they_are_not(one, other):
    at = parts_at(one, other)
    if at is None:
        assert one == other
        return
    assert one[:at] == other[:at] and one[at : at + 1] != other[at : at + 1]
    assert parts_at(other, one) == at


def test_turns_are_those_that_were_trained_each_with_what_came_before():
    found = list(comparing.turns(conversation.parsed(json.loads(line(7)))))
    assert [(each.number, len(each.before)) for each in found] == [(1, 1), (2, 3)]
    assert found[1].recorded == "<Answer>7</Answer>" and found[1].before[-1].role == "execute"


def compared(number: int, base: Said, ours: Said) -> Compared:
    asked = Asked(f"run-{number}", 1, (), "<Answer>7</Answer>")
    return Compared(asked, {"base": base, "ours": ours})


SOME = [
    compared(1, Said("<Answer>8</Answer>", 6, 2.0), Said("<Answer>7</Answer>\n", 6, 1.0)),
    compared(2, Said("<Answer>7</Answer>", 6, 1.0), Said("<Answer>7</Answer>", 6, 2.0)),
    compared(3, Said("a | b\n`c`", 4, 1.0), Said("", 0, 0.0, "CONTEXT_TOO_LONG: no room")),
]


def test_totals():
    base, ours = (comparing.totals(SOME, model, "base") for model in ("base", "ours"))
    assert (base.turns, base.failed, base.as_recorded, base.as_first) == (3, 0, 1, 3)
    assert (ours.turns, ours.failed, ours.as_recorded, ours.as_first) == (2, 1, 2, 1)
    assert ours.tokens == 6 and ours.tokens_per_second == 4.0 and ours.recorded_share == 1.0
    assert base.tokens_per_second == 4.0
    nothing = comparing.totals([], "base", "base")
    assert nothing.turns == 0 and nothing.recorded_share == 0.0 == nothing.tokens_per_second


def test_report_tells_where_they_part_and_breaks_no_table():
    text = comparing.markdown(SOME, ["base", "ours"])
    assert "| ours | 2 of 2, 100% | 1 of 2 |" in text
    assert "| run-1 · 1 | ours | 8 | 8&lt;/Answer> | 7&lt;/Answer> |" in text
    assert "run-2" not in text and "CONTEXT_TOO_LONG: no room" in text
    told = json.loads(json.dumps(comparing.report(SOME, ["base", "ours"])))
    assert told["format"] == "isobath.compare/1" and told["models"]["base"]["first"]
    first = told["turns"][0]["said"]
    assert first["base"]["parts_from_recorded_at"] == 8
    assert first["ours"]["parts_from_recorded_at"] is None


@given(st.text())
def test_any_text_stays_in_its_cell(text):
    cell = comparing._cell(text)
    assert not {"|", "<", "`", "\n"} & set(cell)


class Answering(Scripted):
    """The adapter says what was recorded; the base another number, and nothing of the third run."""

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self.seen.append(request)
        question = request.messages[0].content
        number = question.rsplit(" ", 1)[-1]
        if number == "3" and request.model == "base":
            raise ModelRefused("no", model="base", status=400)
        said = number if request.model == "ours" else "another"
        yield Delta(f"<Answer>{said}</Answer>", 3)
        yield Completion(Finish.STOP, usage=Usage(5, 3))


async def test_command_asks_both_greedily_and_reports(tmp_path: Path, no_leaks):
    prompts, output = tmp_path / "messages.jsonl", tmp_path / "report"
    prompts.write_text("".join(line(number) for number in (1, 2, 3)))
    engine = Answering()
    await engine.load_adapter("ours", tmp_path)
    async with replica(engine) as server:
        words = ("--prompts", str(prompts), "--inference", server.address)
        code, said = await command(
            *words, "--models", "base,ours", "--output", str(output), module="training.compare"
        )
        assert code == 0 and "6 of 6 turns" in said, said
        assert "ours: 3 of 6 as recorded, 0 as base" in said and "2 failed" in said, said
        assert {each.sampling.temperature for each in engine.seen} == {0.0}
        assert all(each.stop_after_code for each in engine.seen)
        code, said = await command(
            *words, "--models", "base,none", "--output", str(output), module="training.compare"
        )
        assert code == 1 and "does not serve none" in said and "base, ours" in said, said
    told = json.loads((output / "report.json").read_text())
    assert len(told["turns"]) == 6 and told["models"]["base"]["failed"] == 2
    assert "MODEL_REFUSED" in (output / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--models", "one"), "two names"),
        (("--models", "a,b"), "ISOBATH_OPERATOR_INFERENCE"),
        (("--models", "a,b", "--inference", "h:1"), "No such file"),
    ],
)
async def test_command_that_cannot_be_understood(tmp_path, words, told):
    given = ("--prompts", str(tmp_path / "none.jsonl"), "--output", str(tmp_path))
    code, said = await command(*words, *given, module="training.compare")
    assert code == 2 and told in said, said
