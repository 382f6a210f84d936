"""A conversation as it is written by hand: pure.

    ---
    world: saas
    topics: [cohort, push-down]
    asks:
      - question: How many …?
        data: [billing, "exports:usage/*.parquet"]
    ---
    <Analyze> … </Analyze>
    <Code> … </Code>

    <Answer> … </Answer>

Below the front matter stands what the model writes, in order. A turn ends where a model stops: with
`</Code>`, and with the `</Answer>` that ends the run. What follows answers the next question of the
same thread.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "tasks"
_PARTS = re.compile(r"\A---\n(?P<told>.*?\n)---\n(?P<turns>.*)\Z", re.DOTALL)
_TURN = re.compile(r"\s*(.+?^</(?P<tag>Code|Answer)>$)", re.DOTALL | re.MULTILINE)


class TaskError(ValueError):
    """A task that is not written as it has to be; the message says which and why."""


@dataclass(frozen=True)
class Ask:
    """One question of a thread. `data`: selections, as the client takes them. `max_rows`: 0 = all,
    None = the service's own limit. `results`: SOURCE:PREFIX where its files go, "" = nowhere."""

    question: str
    data: tuple[str, ...]
    turns: tuple[str, ...]
    max_rows: int | None = None
    results: str = ""


@dataclass(frozen=True)
class Task:
    """`world` names the data, `topics` what it shows. `language` is that of the answer."""

    id: str
    world: str
    topics: tuple[str, ...]
    asks: tuple[Ask, ...]
    language: str = "en"


def tasks(folder: Path = FOLDER) -> list[Task]:
    """All of them, by id, which is their file's name. Raises `TaskError`."""
    return [parsed(each.stem, each.read_text()) for each in sorted(folder.glob("*.md"))]


def parsed(id: str, text: str) -> Task:
    """Raises `TaskError`."""
    parts = _PARTS.match(text)
    if parts is None:
        raise TaskError(f"{id}: a front matter between two lines --- is needed")
    told = yaml.safe_load(parts["told"])
    runs = list(_runs(id, parts["turns"]))
    if len(runs) != len(told["asks"]):
        raise TaskError(f"{id}: {len(told['asks'])} questions, {len(runs)} answers")
    return Task(
        id=id,
        world=told["world"],
        topics=tuple(told["topics"]),
        asks=tuple(_ask(each, turns) for each, turns in zip(told["asks"], runs, strict=True)),
        language=told.get("language", "en"),
    )


def _ask(told: dict[str, Any], turns: tuple[str, ...]) -> Ask:
    given = {key: value for key, value in told.items() if key in ("max_rows", "results")}
    question = " ".join(told["question"].split())
    return Ask(question=question, data=tuple(told["data"]), turns=turns, **given)


def _runs(id: str, text: str) -> Iterator[tuple[str, ...]]:
    turns: list[str] = []
    at = 0
    while found := _TURN.match(text, at):
        turns.append(found[1])
        at = found.end()
        if found["tag"] == "Answer":
            yield tuple(turns)
            turns = []
    if turns or text[at:].strip():
        raise TaskError(f"{id}: the last turn does not end with </Answer>")
