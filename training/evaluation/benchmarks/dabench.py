"""InfiAgent-DABench (Hu et al., ICML 2024, arXiv 2401.05507), as examples/DA-Agent/data of
InfiAgent/InfiAgent has it:

    da-dev-questions.jsonl   id, question, concepts, constraints, format, file_name, level
    da-dev-labels.jsonl      id, common_answers: [[name, value], …]
    da-dev-tables/           the CSV files

An answer holds `@name[value]` for each label; a question counts where all of them are right.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.evaluation.benchmarks.reading import BenchmarkError, found, grouped, rows, text
from training.evaluation.dataset import LAKE, Domain, Question, Reference

_PREFIX = "dabench"
_QUESTIONS, _LABELS, _TABLES = (
    "da-dev-questions.jsonl",
    "da-dev-labels.jsonl",
    "da-dev-tables",
)
_FORM = "The answer has to state the following, each as it stands here, brackets included:"


def read(folder: Path) -> list[Domain]:
    """A domain for each level of difficulty, where questions have one. Raises BenchmarkError."""
    inner = found(
        [folder / _QUESTIONS, folder / "data" / _QUESTIONS], "the file of questions"
    ).parent
    labels = {
        each["id"]: each["common_answers"]
        for each in rows(found([inner / _LABELS], "the file of labels"), ("id", "common_answers"))
    }
    tables = found([inner / _TABLES], "the folder of tables")
    told = grouped(_questions(inner / _QUESTIONS, labels))
    return [_domain(name, questions, tables) for name, questions in told.items()]


def _questions(path: Path, labels: Mapping[Any, list[list[Any]]]) -> Iterator[tuple[str, Question]]:
    for row in rows(path, ("id", "question", "constraints", "format", "file_name")):
        if row["id"] not in labels:
            raise BenchmarkError(f"{path}: question {row['id']} has no label")
        level = row.get("level")
        yield (f"{_PREFIX}-{level}" if level else _PREFIX), _question(row, labels[row["id"]])


def _question(row: Mapping[str, Any], labels: list[list[Any]]) -> Question:
    return Question(
        id=f"{_PREFIX}-{row['id']}",
        text=text(row["question"], row["constraints"], f"{_FORM}\n{row['format']}"),
        data=(f"{LAKE}:{_PREFIX}/{row['file_name']}",),
        # of several labels of one name, the last one counts
        expects=tuple(
            Reference(str(value), "dabench", str(name)) for name, value in dict(labels).items()
        ),
    )


def _domain(name: str, questions: list[Question], tables: Path) -> Domain:
    paths = {each.data[0].partition(":")[2] for each in questions}
    files = {path: tables / path.removeprefix(f"{_PREFIX}/") for path in sorted(paths)}
    if missing := [each.name for each in files.values() if not each.is_file()]:
        raise BenchmarkError(f"{tables} has no {', '.join(missing)}")
    return Domain(name, files, {}, tuple(questions))
