"""The guard alone: DuckDB's parser, our judgement, nothing run."""

import json
from contextlib import suppress

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectorkit.files.errors import QueryFailed, QueryNotReadOnly
from connectorkit.files.sql import functions
from connectorkit.files.sql.guard import Statement, judged
from tests.connectorkit.sql_attacks import ATTACKS, Attack

PLACES = {"file": "/tmp/x", "folder": "/tmp", "out": "/tmp/y", "url": "http://127.0.0.1:1"}
GOOD = [
    "SELECT region, sum(amount) FROM 'sales/2026-*/*.parquet' GROUP BY 1",
    "FROM 'a.csv'",
    "FROM 'a.csv' SELECT b WHERE c > 1 ORDER BY ALL LIMIT 3",
    "SELECT * FROM \"a.csv\" AS t(x, y) JOIN 'b.parquet' u USING (x)",
    "SELECT a.x, row_number() OVER (PARTITION BY y ORDER BY z DESC) FROM 'a.csv' QUALIFY 1 = 1",
    "WITH m AS (SELECT 1 AS a), n AS (SELECT * FROM m) SELECT * FROM n, m, 'a.csv'",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9) FROM r",
    "SELECT * FROM read_csv(['a.csv', 'b/*.csv'], delim = ';', header := true, nullstr = 'NA')",
    "SELECT * FROM read_parquet('year=*/month=*/*.parquet', hive_partitioning = true)",
    "SELECT * FROM read_json('a.json', columns = {a: 'INT'}) WHERE a IN (SELECT x FROM 'b.csv')",
    "SELECT count(*) FILTER (WHERE a > 1), percentile_cont(0.5) WITHIN GROUP (ORDER BY b) FROM 'a'",
    "SELECT date_trunc('month', d), extract(year FROM d), d AT TIME ZONE 'UTC' FROM 'a.csv'",
    "SELECT * EXCLUDE (a) REPLACE (b * 2 AS b), COLUMNS('c.*') FROM 'a.csv'",
    "SELECT list_transform([1, 2], lambda x: x + 1), [y FOR y IN [1, 2] IF y > 1], {'a': 1}.a",
    "SELECT CASE WHEN a LIKE 'x%' THEN 1 ELSE 2 END, try_cast(b AS DECIMAL(10, 2)) FROM 'a.csv'",
    "SELECT * FROM (FROM 'a.csv') PIVOT (sum(v) FOR k IN ('p', 'q') GROUP BY g)",
    "SELECT * FROM 'a.csv' UNPIVOT (v FOR n IN (a, b))",
    "SELECT region, sum(x) FROM 'a.csv' GROUP BY GROUPING SETS ((region), ()) HAVING sum(x) > 0",
    "SELECT * FROM 'a.csv' USING SAMPLE 10%",
    "SELECT a->>'$.b', json_extract(a, '$.c'), j.key FROM 'a.json', json_each(a) j",
    "SELECT * FROM range(10) t(i) ASOF JOIN 'a.csv' b ON t.i >= b.i",
    "SELECT unnest(xs), s.f, m['k'], xs[1:2] FROM 'a.parquet'",
    "DESCRIBE 'a.csv'",
    "SUMMARIZE SELECT * FROM 'a.csv'",
    "SELECT 1 UNION BY NAME SELECT 2 EXCEPT SELECT 3 INTERSECT SELECT 4",
    "SELECT $1, interval 3 day, date '2026-01-01', now(), uuid(), 'é' FROM 'a.csv' WHERE x = $2",
    "SELECT any_value(a), arg_max(a, b), string_agg(a, ',' ORDER BY b), mode(a) FROM 'a.csv'",
    "SELECT * FROM glob('**/*.parquet')",
    "SELECT num_rows FROM parquet_file_metadata('a.parquet')",
    "SELECT 1 -- a comment; with '",
]


def parsed(sql: str) -> Statement:
    with duckdb.connect(":memory:") as database:
        found = database.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert found is not None
    return judged(sql, json.loads(found[0]))


def test_there_are_many_attacks() -> None:
    assert len(ATTACKS) >= 80 and len({attack.sql for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.req("P8")
@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.guarded], ids=lambda a: a.name)
def test_attack_is_refused_by_the_guard_alone(attack: Attack) -> None:
    with pytest.raises((QueryNotReadOnly, QueryFailed)):
        parsed(attack.sql.format(**PLACES))


@pytest.mark.parametrize("attack", [a for a in ATTACKS if not a.guarded], ids=lambda a: a.name)
def test_attack_by_a_name_becomes_a_path_of_the_source(attack: Attack) -> None:
    found = parsed(attack.sql.format(**PLACES))
    with duckdb.connect(":memory:") as database:
        told = database.execute("SELECT json_serialize_sql(?)", [found.sql]).fetchone()
    again = judged(found.sql, json.loads(told[0]))  # type: ignore[index]
    assert list(again.paths) == [f"lake://{path}" for path in found.paths] and again.paths


@pytest.mark.parametrize("sql", GOOD)
def test_what_analysts_write_passes(sql: str) -> None:
    found = parsed(sql)
    assert found.sql.count("lake://") == len(found.edits)


def test_paths_are_told_in_order_and_written_anew() -> None:
    found = parsed("SELECT 'é', \"c\" FROM 'x''y.csv', read_csv([$$b$$, 'a']), \"q\"\"r.csv\"")
    assert sorted(found.paths) == ["a", "b", 'q"r.csv', "x'y.csv"]
    assert found.sql == (
        "SELECT 'é', \"c\" FROM 'lake://x''y.csv', read_csv(['lake://b', 'lake://a']), "
        "'lake://q\"r.csv'"
    )


def test_place_in_what_runs_is_found_in_the_source() -> None:
    source = "SELECT é FROM 'a.csv' t, 'b.csv' u WHERE nope"
    found = parsed(source)
    offset = found.sql.encode().index(b"nope")
    assert found.position(offset) == source.index("nope") + 1
    assert found.position(7) == 8


def test_error_of_the_parser_marks_its_place() -> None:
    with pytest.raises(QueryFailed) as raised:
        parsed("SELECT a\nFRM 'a.csv' WHERE")
    assert "LINE 2" in raised.value.message and raised.value.metadata()["line"] == "2"


def test_schemas_are_told_to_be_paths() -> None:
    with pytest.raises(QueryFailed, match="path in quotes"):
        parsed("SELECT * FROM sales.csv")


def test_every_function_of_duckdb_was_looked_at() -> None:
    with duckdb.connect(":memory:") as database:
        rows = database.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
            "WHERE function_type IN ('scalar', 'aggregate', 'macro', 'window')"
        ).fetchall()
    known = functions.SCALAR | functions.OPERATORS | functions.REFUSED
    new = {name for (name,) in rows} - known
    assert {n for n in new if not n.startswith(functions.REFUSED_HEADS)} <= {
        "is distinct from",
        "is not distinct from",
    }
    assert not (functions.SCALAR | functions.OPERATORS) & functions.REFUSED


@given(
    st.recursive(
        st.none() | st.text(max_size=8),
        lambda x: (
            st.dictionaries(
                st.sampled_from(
                    ["type", "class", "function_name", "table_name", "node", "cte_map", "query"]
                ),
                x,
            )
            | st.lists(x, max_size=3)
        ),
    )
)
def test_any_tree_is_judged_or_refused(tree: object) -> None:
    with suppress(QueryNotReadOnly, QueryFailed):
        judged("SELECT 1", {"statements": [tree]})
