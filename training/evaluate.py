"""Ask questions with known answers of a running platform, and score what comes back."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import Isobath
from isobath_client.settings import resolve


@dataclass(frozen=True)
class Question:
    """`must_hold`: words that stand in every right answer, whatever its case."""

    question: str
    data: tuple[str, ...]
    must_hold: tuple[str, ...]


def read(path: Path) -> list[Question]:
    """A set of questions: a JSON list of objects with the fields of `Question`."""
    listed: list[dict[str, Any]] = json.loads(path.read_text())
    return [Question(q["question"], tuple(q["data"]), tuple(q["must_hold"])) for q in listed]


def missing(question: Question, answer: str) -> list[str]:
    """What a right answer would hold and this one does not."""
    folded = answer.casefold()
    return [word for word in question.must_hold if word.casefold() not in folded]


def answer_of(client: Isobath, question: Question) -> str:
    """The answer's text; a failed run's message where there is none."""
    last = analyst.Event()
    for event in client.ask(question.question, data=question.data):
        last = event
    return last.completed.answer or f"failed: {last.failed.message}"


def evaluate(
    questions: Annotated[Path, typer.Argument(help="A JSON file of questions.")],
    at_least: Annotated[float, typer.Option(help="End with 1 below this share.")] = 0.0,
) -> None:
    """Ask each question and print whether the answer held what it must."""
    where = resolve(os.environ)
    asked, right = read(questions), 0
    with Isobath(where.address, api_key=where.api_key) as client:
        for each in asked:
            absent = missing(each, answer_of(client, each))
            right += not absent
            print(f"{'✓' if not absent else '✗'} {each.question} {absent or ''}".rstrip())
    print(f"{right} of {len(asked)} right ({right / len(asked):.0%})")
    if right < at_least * len(asked):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(evaluate)
