"""What `make train-smoke` holds its outcome against."""

import json
from pathlib import Path

import pytest

from training.examples.__main__ import DATA
from training.examples.task import tasks
from training.smoke.__main__ import HANDFUL
from training.smoke.answers import Asked
from training.smoke.commands import CommandFailed, Trainer, losses, part
from training.tuning.outcome import RECORD

WANTED = {
    "messages": [
        {"role": "user", "content": "How many?", "train": False},
        {"role": "assistant", "content": "<Answer>\n7\n</Answer>", "train": True},
    ]
}


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([("user", "How many?"), ("assistant", "<Answer>\n7\n</Answer>")], ""),
        ([("user", "How many?"), ("assistant", "<Answer>\n8\n</Answer>")], "message 2 is"),
        ([("user", "How many? "), ("assistant", "<Answer>\n7\n</Answer>")], "message 1 is"),
        ([("user", "How many?")], "message 2 is None"),
        (
            [("user", "How many?"), ("assistant", "<Answer>\n7\n</Answer>"), ("execute", "")],
            "message 3 is",
        ),
    ],
)
def test_an_answer_that_differs_in_a_word_is_told(
    messages: list[tuple[str, str]], told: str
) -> None:
    difference = Asked("a", "7", 0, messages).difference(WANTED)
    assert told in difference and bool(told) == bool(difference)


def test_the_handful_are_examples_that_one_question_gives_again(tmp_path: Path) -> None:
    found = part(DATA, HANDFUL, tmp_path / "some.jsonl")
    lines = (tmp_path / "some.jsonl").read_text().splitlines()
    assert [each["id"] for each in found] == list(HANDFUL)
    assert [json.loads(line) for line in lines] == found
    known = {each.id: each for each in tasks()}
    for id in HANDFUL:
        # data of every platform for development, and nothing written back
        assert known[id].world == "shop" and not known[id].asks[0].results
    with pytest.raises(LookupError, match="no-such"):
        part(DATA, ["no-such"], tmp_path / "none.jsonl")


def test_losses_are_those_of_steps(tmp_path: Path) -> None:
    rows = "step,epoch,train_loss,eval_loss\n1,0.5,6.5,\n1,0.5,,6.4\n2,1.0,0.25,\n"
    (tmp_path / "loss.csv").write_text(rows)
    assert losses(tmp_path) == [6.5, 0.25] and losses(tmp_path, held_out=True) == [6.4]


async def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho no {RECORD} >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(CommandFailed, match=rf"base ended with 3\nno {RECORD}"):
        await Trainer(python, tmp_path).base(DATA)
