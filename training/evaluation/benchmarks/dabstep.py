"""DABstep (Egg et al. 2025, arXiv 2506.23719), as the data set adyen/DABstep has it:

    data/tasks/dev.jsonl, all.jsonl   task_id, question, guidelines, level, answer
    data/context/                     payments.csv, fees.json, manual.md …, for all tasks

Rows may lie as Parquet too. The answers of all.jsonl are kept by the leaderboard: tasks without an
answer cannot be scored here, and are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.evaluation.benchmarks.reading import (
    LAST_LINE,
    BenchmarkError,
    any_kind,
    found,
    grouped,
    rows,
    text,
)
from training.evaluation.dataset import LAKE, Domain, Question, Reference

_PREFIX = "dabstep"
_NEEDED = ("task_id", "question", "guidelines", "level", "answer")


def read(folder: Path) -> list[Domain]:
    """A domain for each level of difficulty. Raises BenchmarkError."""
    inner = found([folder / "tasks", folder / "data" / "tasks"], "the folder of tasks").parent
    context = found([inner / "context"], "the folder of the context")
    files = {f"{_PREFIX}/{each.name}": each for each in sorted(context.iterdir()) if each.is_file()}
    if not files:
        raise BenchmarkError(f"{context} holds no file")
    data = tuple(f"{LAKE}:{path}" for path in files)
    told = grouped(_questions(inner / "tasks", data))
    if not told:
        raise BenchmarkError(
            f"{inner / 'tasks'} has no task with an answer: those of all.jsonl are kept by the "
            "leaderboard; dev.jsonl has some"
        )
    return [Domain(name, files, {}, tuple(questions)) for name, questions in told.items()]


def _questions(folder: Path, data: tuple[str, ...]) -> Iterator[tuple[str, Question]]:
    there = [path for stem in ("all", "dev") for path in any_kind(folder, stem) if path.exists()]
    if not there:
        found(any_kind(folder, "dev"), "the file of tasks")
    tasks = {
        str(row["task_id"]): row for path in there for row in rows(path, _NEEDED) if row["answer"]
    }
    for name, row in tasks.items():
        yield f"{_PREFIX}-{row['level']}", _question(name, row, data)


def _question(name: str, row: Mapping[str, Any], data: tuple[str, ...]) -> Question:
    return Question(
        id=f"{_PREFIX}-{name}",
        text=text(row["question"], f"Guidelines: {row['guidelines']}", LAST_LINE),
        data=data,
        expects=(Reference(str(row["answer"]), "dabstep"),),
    )
