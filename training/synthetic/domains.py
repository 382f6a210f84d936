"""Schemas as domains that training.evaluation loads, asks and scores. Pure."""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.dataset import DATABASE, LAKE, Domain, Question
from training.synthetic.forms import FORMS, Asking, Draw
from training.synthetic.schemas import Place, Schema, Table, generator, schema
from training.synthetic.themes import Part

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = 6
# of a question's selections: one of another table, which it does not need
_BESIDE = 0.25


def domain(part: Part, seed: int, number: int, questions: int = QUESTIONS) -> Domain:
    """A schema with so many questions at most, of as many forms, no two alike."""
    made = schema(part, seed, number)
    # what is drawn of rows does not change with what is asked
    rng = generator(part, seed, -1 - number)
    return Domain(
        name=made.name,
        files={_path(made, t): _CONTENT[t.place](t.rows) for t in _apart(made)},
        tables={t.name: t.rows for t in made.tables if t.place == "postgresql"},
        questions=tuple(
            _question(made, rng, f"{made.name}-{form}", asking)
            for form, asking in _askings(Draw(made, rng), questions)
        ),
    )


def form_of(question: Question) -> str:
    """Which of the forms it is of."""
    return question.id.rpartition("-")[2]


def _askings(draw: Draw, count: int) -> Iterator[tuple[str, Asking]]:
    texts = set[str]()
    for name in draw.rng.permutation(list(FORMS)).tolist():
        asking = FORMS[name](draw)
        if asking is not None and asking.text not in texts and len(texts) < count:
            texts.add(asking.text)
            yield name, asking


def _question(made: Schema, rng: np.random.Generator, name: str, asking: Asking) -> Question:
    needed = list(asking.tables)
    others = [each for each in made.tables if each not in needed]
    if others and rng.random() < _BESIDE:
        needed.append(others[int(rng.integers(len(others)))])
    data = tuple(selection(made, each) for each in needed)
    return Question(name, asking.text, data, asking.expects)


def selection(made: Schema, table: Table) -> str:
    """As the client takes it."""
    if table.place == "postgresql":
        return f"{DATABASE}:{made.name}.{table.name}"
    return f"{LAKE}:{_path(made, table)}"


def _apart(made: Schema) -> list[Table]:
    return [each for each in made.tables if each.place != "postgresql"]


def _path(made: Schema, table: Table) -> str:
    return f"{made.name}/{table.name}.{table.place}"


def _csv(rows: "pd.DataFrame") -> bytes:
    return rows.to_csv(index=False, date_format="%Y-%m-%d").encode()


def _parquet(rows: "pd.DataFrame") -> bytes:
    sink = io.BytesIO()
    rows.to_parquet(sink, index=False)
    return sink.getvalue()


def _jsonl(rows: "pd.DataFrame") -> bytes:
    times = (str(name) for name in rows if rows[name].dtype.kind == "M")
    dated = {name: rows[name].dt.strftime("%Y-%m-%d") for name in times}
    return rows.assign(**dated).to_json(orient="records", lines=True).encode()


_CONTENT: Mapping[Place, Callable[["pd.DataFrame"], bytes]] = {
    "csv": _csv,
    "parquet": _parquet,
    "jsonl": _jsonl,
}
