import csv
import io
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.pg_connector.copying import copy_of
from services.pg_connector.cutting import RowCut, row_ends
from services.pg_connector.declared import Origin, origins
from services.pg_connector.values import Column

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


def test_copy_of_numbers_the_columns_and_asks_for_one_row_more() -> None:
    columns = [column("bool"), column("bool"), column("int4[]")]
    copy = copy_of("SELECT 1 -- end", columns, form="csv", max_rows=10)
    assert copy.sql == (
        "SELECT q.c0::pg_catalog.text, q.c1::pg_catalog.text, q.c2 FROM (\n"
        "SELECT 1 -- end\n) AS q(c0, c1, c2) LIMIT 11"
    )
    assert copy.sql[copy.shift :].startswith("SELECT 1")


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
