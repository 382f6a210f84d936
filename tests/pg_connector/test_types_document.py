"""docs/postgresql-types.md says what the table of types says."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from services.pg_connector.values import _PLAIN
from tests.pg_connector.types_table import KINDS, SETUP, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs/postgresql-types.md"
CODE = re.compile(r"`([^`]+)`")


def rows() -> list[list[str]]:
    """Of the first table: types, Arrow's, CSV, pandas', each as its cell."""
    table = PAGE.read_text().partition("| --- | --- | --- | --- |\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


KNOWN = {kind.sql: kind for kind in KINDS}
ROWS = [pytest.param(*row, id=row[0]) for row in rows()]


def kinds_of(cell: str) -> list[Kind]:
    return [KNOWN[name] for name in CODE.findall(cell) if name != "integer"]


@pytest.mark.req("P3")
@pytest.mark.parametrize(("types", "arrow", "csv", "pandas"), ROWS)
def test_row_says_what_the_connector_gives(types: str, arrow: str, csv: str, pandas: str) -> None:
    kinds = kinds_of(types)
    assert kinds and {str(kind.arrow) for kind in kinds} == set(CODE.findall(arrow))
    if text := CODE.findall(csv):
        # Markdown drops the spaces at the ends
        texts = {value.csv for kind in kinds for value in kind.values}
        assert text[0] in texts | {each.strip() for each in texts}
    series = pa.table({"x": pa.array([], kinds[0].arrow)}).to_pandas()["x"]
    assert str(series.dtype) == CODE.findall(pandas)[0]


@pytest.mark.req("P3")
def test_every_type_that_is_not_text_has_a_row() -> None:
    told = {kind.name for row in rows() for kind in kinds_of(row[0])}
    assert set(_PLAIN) - {"void"} <= told
    own = set(re.findall(r"CREATE (?:TYPE|DOMAIN) (\w+)", SETUP))
    there = {kind.name for kind in KINDS if not kind.name.endswith("[]")} - own
    families = r"range|reg|pg_|xid|cid|tid|vector|txid|aclitem|refcursor|gtsvector"
    assert not [name for name in there - told if not re.search(families, name)]
