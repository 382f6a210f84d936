import csv
import io
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.pg_connector.copying import copy_of
from services.pg_connector.cutting import RowCut, row_ends
from services.pg_connector.declared import Origin, origins
from services.pg_connector.errors import ValueUnfit
from services.pg_connector.parsing import Parser
from services.pg_connector.values import Column, schema_of

_ROWS = st.lists(st.lists(st.text('ab",\n\ré'), min_size=1, max_size=3), min_size=1, max_size=12)


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def chunks(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(cuts)]


@settings(max_examples=200, deadline=None)
@given(_ROWS, st.lists(st.integers(0, 400), max_size=8), st.integers(0, 12), st.integers(0, 60))
def test_cut_gives_whole_rows_however_the_bytes_come(rows, places, max_rows, max_bytes) -> None:
    data = written(rows)
    cut = RowCut(max_rows, max_bytes)
    got = b"".join(cut.take(chunk) for chunk in chunks(data, places))
    sizes = [len(written(rows[:count])) for count in range(len(rows) + 1)]
    fitting = [
        count
        for count in range(len(rows) + 1)
        if (not max_rows or count <= max_rows) and (not max_bytes or sizes[count] <= max_bytes)
    ]
    assert got == written(rows[: fitting[-1]]) if fitting[-1] else got == b""
    assert cut.rows == fitting[-1]
    assert bool(cut.truncated_by) == (fitting[-1] < len(rows))


def test_row_ends_pass_over_quoted_line_ends() -> None:
    assert row_ends(b'a,"b\nc"\n"""\n"\n').tolist() == [8, 14]


def test_row_too_long_for_the_room_is_not_waited_for() -> None:
    cut = RowCut(max_bytes=10)
    assert cut.take(b"ab\n" + b"x" * 20) == b"ab\n"
    assert cut.truncated_by == "byte limit of 10"
    assert cut.take(b"\ncd\n") == b""


def column(kind: str, told: str = "", schema: str = "pg_catalog") -> Column:
    return Column("x", kind, schema, told or kind)


@pytest.mark.parametrize(
    ("kind", "told", "text", "value"),
    [
        ("bool", "", b"t", True),
        ("int2", "", b"-7", -7),
        ("float8", "", b"NaN", "nan"),
        ("float8", "", b"-Infinity", float("-inf")),
        ("numeric", "numeric(6,2)", b"12.50", "12.50"),
        ("numeric", "", b"1.23456789012345678901234567890123456789012345", "1.2345678901234567890"),
        ("text", "", b'""', ""),
        ("text", "", b"", None),
        ("text", "", b'"a\n""b"""', 'a\n"b"'),
        ("bytea", "", b"\\xdead", b"\xde\xad"),
        ("date", "", b"0044-03-15 BC", -735_160),
        ("date", "", b"12026-01-02", 3_672_880),
        ("timestamptz", "", b"2026-01-02 03:04:05.5+00", 1_767_323_045_500_000),
        ("timestamp", "", b"0001-01-01 00:00:00 BC", -62_167_219_200_000_000),
        ("time", "", b"01:02:03.000004", 3_723_000_004),
        ("int4[]", "", b'"[""1"",null]"', [1, None]),
        ("text[]", "", b'"[""a"",""""]"', ["a", ""]),
        ("json", "", b'"{""a"": 1}"', '{"a": 1}'),
        ("int4range", "", b'"[1,5)"', "[1,5)"),
    ],
)  # fmt: skip
def test_parser_reads_what_copy_writes(kind: str, told: str, text: bytes, value: object) -> None:
    columns = [column(kind, told)]
    batch = Parser(columns, schema_of(columns)).batch(text + b"\n" + text + b"\n")
    assert batch.num_rows == 2
    found = batch.column(0)
    if pa.types.is_date(found.type):
        found = found.cast(pa.int32())
    elif pa.types.is_timestamp(found.type) or pa.types.is_time(found.type):
        found = found.cast(pa.int64())
    got = found[0].as_py()
    assert str(got).startswith(value) if isinstance(value, str) and value else got == value


@pytest.mark.parametrize(
    ("kind", "told", "text"),
    [
        ("date", "", b"infinity"),
        ("timestamptz", "", b"-infinity"),
        ("numeric", "numeric(6,2)", b"NaN"),
        ("int4[]", "", b'"[[""1""],[""2""]]"'),
        ("time", "", b"24:00:00"),
    ],
)
def test_parser_tells_what_arrow_cannot_hold(kind: str, told: str, text: bytes) -> None:
    columns = [column(kind, told)]
    with pytest.raises(ValueUnfit) as caught:
        Parser(columns, schema_of(columns)).batch(b"\n" + text + b"\n")
    assert caught.value.column == "x"


def test_copy_of_numbers_the_columns_and_asks_for_one_row_more() -> None:
    columns = [column("bool"), column("bool"), column("int4[]")]
    copy = copy_of("SELECT 1 -- end", columns, typed=False, max_rows=10)
    assert copy.sql == (
        "SELECT q.c0::pg_catalog.text, q.c1::pg_catalog.text, q.c2 FROM (\n"
        "SELECT 1 -- end\n) AS q(c0, c1, c2) LIMIT 11"
    )
    assert copy.sql[copy.shift :].startswith("SELECT 1")
    typed = copy_of("SELECT 1", columns, typed=True).sql
    assert typed.startswith("SELECT q.c0, q.c1, pg_catalog.array_to_json(q.c2::pg_catalog.text[])")


def test_origins_are_relations_and_casts() -> None:
    plan = {
        "Output": ['o."Amount ""x"""', "(o.a)::numeric(12,2)", "(o.a + 1)", "p.fee", "z.q"],
        "Plans": [
            {"Alias": "o", "Schema": "public", "Relation Name": "orders"},
            {"Plans": [{"Alias": "p_1", "Schema": "s", "Relation Name": "part"}]},
        ],
    }
    assert origins(plan) == [
        Origin("public", "orders", 'Amount "x"'),
        Origin(told="numeric(12,2)"),
        Origin(),
        Origin("s", "part", "fee"),
        Origin(),
    ]


def test_subquery_of_a_relations_name_is_not_that_relation() -> None:
    plan = {
        "Alias": "orders",
        "Output": ["orders.amount"],
        "Plans": [{"Alias": "orders_1", "Schema": "public", "Relation Name": "orders"}],
    }
    assert origins(plan) == [Origin()]
