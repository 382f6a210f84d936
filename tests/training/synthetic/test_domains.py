"""Schemas of seeds, and their questions: deterministic, unlike each other, and answerable."""

import io
from collections.abc import Callable
from itertools import product

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.dataset import Number, Table, Words
from training.evaluation.scoring import Given, judged
from training.synthetic import domains, schemas
from training.synthetic.forms import FORMS, Draw
from training.synthetic.themes import Part, themes

pytestmark = pytest.mark.req("T3")

PARTS = st.sampled_from(list(Part))
SEEDS = st.integers(0, 2**31)
NUMBERS = st.integers(0, 500)
READ: dict[str, Callable[[io.BytesIO], pd.DataFrame]] = {
    "csv": pd.read_csv,
    "parquet": pd.read_parquet,
    "jsonl": lambda data: pd.read_json(data, lines=True, convert_dates=False),
}


@settings(max_examples=12, deadline=None)
@given(PARTS, SEEDS, NUMBERS)
def test_schema_is_the_same_for_the_same_seed(part: Part, seed: int, number: int) -> None:
    one, other = (domains.domain(part, seed, number) for _ in range(2))
    assert one.questions == other.questions
    assert one.files == other.files
    assert one.tables.keys() == other.tables.keys()
    for name, rows in one.tables.items():
        pd.testing.assert_frame_equal(rows, other.tables[name])


def test_no_two_schemas_are_alike() -> None:
    made = [schemas.schema(p, s, n) for p, s, n in product(Part, (1, 2), range(30))]
    assert len({each.name for each in made}) == len(made)
    assert len({each.facts.rows.to_csv() for each in made}) == len(made)


def test_strange_schemas_have_no_word_of_the_others() -> None:
    """Of tables and columns."""

    def words(part: Part) -> set[str]:
        made = [schemas.schema(part, 5, number) for number in range(70)]
        tables = [table for each in made for table in each.tables]
        columns = [column for table in tables for column in table.columns]
        return {each.name for each in tables} | {each.name for each in columns}

    shared = words(Part.STRANGE) & words(Part.TRAIN)
    assert not shared
    assert {t.name for t in themes(Part.STRANGE)}.isdisjoint(t.name for t in themes(Part.KIN))


@settings(max_examples=15, deadline=None)
@given(PARTS, SEEDS, NUMBERS)
def test_tables_are_whole(part: Part, seed: int, number: int) -> None:
    made = schemas.schema(part, seed, number)
    facts = made.facts
    assert facts.rows[facts.columns[0].name].is_unique
    assert [each.name for each in facts.columns] == list(facts.rows.columns)
    assert len(set(facts.rows.columns)) == len(facts.columns)
    for parent in made.parents:
        key = parent.columns[0].name
        assert parent.rows[key].is_unique
        assert facts.rows[key].isin(parent.rows[key]).all()


@settings(max_examples=15, deadline=None)
@given(PARTS, SEEDS, NUMBERS)
def test_questions_name_what_is_there(part: Part, seed: int, number: int) -> None:
    made, asked = schemas.schema(part, seed, number), domains.domain(part, seed, number, len(FORMS))
    selections = {domains.selection(made, table): table for table in made.tables}
    for question in asked.questions:
        tables = [selections[each] for each in question.data]
        columns = [column for table in tables for column in table.columns]
        names = [*(each.words for each in tables), *(each.words for each in columns)]
        assert any(name in question.text for name in names), question.text
        assert question.expects
    assert len({each.text for each in asked.questions}) == len(asked.questions)


@settings(max_examples=12, deadline=None)
@given(PARTS, SEEDS, NUMBERS)
def test_forms_name_the_columns_of_their_tables(part: Part, seed: int, number: int) -> None:
    draw = Draw(schemas.schema(part, seed, number), schemas.generator(part, seed, number))
    for form in FORMS.values():
        asking = form(draw)
        if asking is not None:
            there = [column for table in asking.tables for column in table.columns]
            assert all(each in there and each.words in asking.text for each in asking.columns)


@settings(max_examples=12, deadline=None)
@given(PARTS, SEEDS, NUMBERS)
def test_the_known_answer_passes_and_an_empty_one_does_not(
    part: Part, seed: int, number: int
) -> None:
    for question in domains.domain(part, seed, number, len(FORMS)).questions:
        assert judged(question, Given(_told(question.expects))).right, question
        assert not judged(question, Given("I do not know.")).right


def _told(expects: tuple[object, ...]) -> str:
    lines = []
    for each in expects:
        if isinstance(each, Number):
            lines.append(f"{each.value:.2f}{' %' if each.percent else ''}")
        elif isinstance(each, Words):
            lines.append(each.any_of[0])
        elif isinstance(each, Table):
            rows = [each.columns, ["---"] * len(each.columns), *each.rows]
            told = ("|" + "|".join(str(cell) for cell in row) + "|" for row in rows)
            lines += ["", *told, ""]
    return "\n".join(lines)


def test_blobs_hold_the_rows_of_their_tables() -> None:
    found = set[str]()
    for number in range(30):
        made, asked = schemas.schema(Part.KIN, 3, number), domains.domain(Part.KIN, 3, number)
        tables = {table.name: table for table in made.tables}
        for path, content in asked.files.items():
            assert isinstance(content, bytes)
            name, ending = path.rpartition("/")[2].split(".")
            rows = READ[ending](io.BytesIO(content))
            assert len(rows) == len(tables[name].rows)
            assert list(rows.columns) == list(tables[name].rows.columns)
            found.add(ending)
        assert len(asked.files) + len(asked.tables) == len(made.tables)
    assert found == READ.keys()


def test_answers_are_those_of_the_rows_as_written() -> None:
    """A total, worked out anew from the CSV."""
    for number in range(200):
        made = schemas.schema(Part.TRAIN, 9, number)
        asked = domains.domain(Part.TRAIN, 9, number, len(FORMS))
        if made.facts.place == "csv":
            break
    content = asked.files[f"{made.name}/{made.facts.name}.csv"]
    assert isinstance(content, bytes)
    rows = pd.read_csv(io.BytesIO(content))
    question = next(each for each in asked.questions if domains.form_of(each) == "total")
    (expected,) = question.expects
    (column,) = [n for n in rows if str(n).replace("_", " ") in question.text and n in rows]
    assert isinstance(expected, Number)
    assert expected.value == pytest.approx(rows[column].sum(), abs=0.01)
