import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.pg_connector import guard
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly
from tests.pg_connector import attacks, queries

REFUSALS = (QueryFailed, QueryNotReadOnly)


@pytest.mark.req("P8")
@pytest.mark.parametrize("sql", attacks.STATEMENTS)
def test_attack_is_refused(sql: str) -> None:
    with pytest.raises(REFUSALS):
        guard.admit(sql.format(pid=1, folder="/tmp/x") if "{" in sql else sql)


@pytest.mark.parametrize("sql", queries.STATEMENTS + queries.OF_OTHER_SERVERS)
def test_analytical_query_passes(sql: str) -> None:
    assert guard.admit(sql).text.strip("; ")


def test_corpora_are_large_enough() -> None:
    assert len(set(attacks.STATEMENTS)) >= 200
    assert len(set(queries.STATEMENTS)) >= 100


@pytest.mark.parametrize(
    ("sql", "construct", "line", "mark"),
    [
        ("SELECT\n  1,\n  nextval('s')", "the function nextval", 3, "  nextval"),
        ("SELECT 'é', lo_create(1)", "the function lo_create", 1, "lo_create"),
        ("SELECT 1;\n\nDROP TABLE x", "several statements", 3, "DROP"),
        ("DELETE FROM t", "DELETE", 1, "DELETE FROM"),
        ("-- über\n/* é */ VACUUM", "VACUUM", 2, "VACUUM"),
        ("WITH x AS (\n\tDELETE FROM t RETURNING 1\n) SELECT 1", "DELETE", 2, "t RETURNING"),
    ],
)
def test_refusal_marks_the_place(sql: str, construct: str, line: int, mark: str) -> None:
    with pytest.raises(QueryNotReadOnly) as caught:
        guard.admit(sql)
    told = caught.value.metadata()
    assert told["construct"] == construct and told["line"] == str(line)
    shown, caret = caught.value.message.splitlines()[-2:]
    assert shown[caret.index("^") :].startswith(mark.strip())


def test_syntax_error_is_a_failed_query_with_its_place() -> None:
    with pytest.raises(QueryFailed) as caught:
        guard.admit("SELECT région,\n  count(*)\nFORM orders")
    assert caught.value.metadata() == {"sqlstate": "42601", "position": "32", "line": "3"}
    assert caught.value.message.endswith("LINE 3: FORM orders\n             ^")


@pytest.mark.parametrize(
    ("sql", "relations"),
    [
        ("SELECT * FROM a JOIN s.b ON true", ["a", "s.b"]),
        ("WITH o AS (SELECT * FROM o) SELECT * FROM o", ["o"]),
        ("WITH RECURSIVE r AS (SELECT 1 UNION SELECT * FROM r) SELECT * FROM r", []),
        (
            "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT (SELECT max(x) FROM c) FROM b",
            ["c"],
        ),
        ("SELECT (WITH i AS (SELECT 1) SELECT * FROM i) FROM i", ["i"]),
        ("EXPLAIN SELECT * FROM t", ["t"]),
        ('TABLE "Odd Schema"."Odd"', ["Odd Schema.Odd"]),
        ("SELECT 1 FROM generate_series(1, 2) g", []),
        ("WITH x AS (TABLE y) SELECT * FROM public.x", ["public.x", "y"]),
    ],
)
def test_relations_are_those_of_the_database(sql: str, relations: list[str]) -> None:
    found = [f"{r.schema}.{r.name}".lstrip(".") for r in guard.admit(sql).relations]
    assert sorted(found) == sorted(relations)


def test_text_ends_with_the_statement() -> None:
    assert guard.admit("SELECT 1 -- one\n ; -- two").text.rstrip() == "SELECT 1 -- one"
    assert guard.admit("SHOW work_mem").is_query is False


@pytest.mark.req("P8")
@pytest.mark.parametrize(
    "sql",
    [
        "SHOW primary_conninfo",
        "SHOW PRIMARY_CONNINFO",
        'SHOW "Archive_Command"',
        "SHOW restore_command",
        "SHOW ssl_passphrase_command",
        "SHOW app.jwt_secret",
        "SHOW ALL",
        "SELECT current_setting('primary_conninfo')",
        "SELECT pg_catalog.current_setting('Archive_Command'::text, true)",
        "SELECT current_setting('archive_' || 'command')",
        "SELECT current_setting(U&'archive\\005fcommand')",
        "SELECT current_setting(n) FROM (VALUES ('archive_command')) v(n)",
        "SELECT ('archive_command'::text).current_setting",
        "SELECT n.current_setting FROM CAST('archive_command' AS text) AS n",
        "SELECT * FROM current_setting('archive_command')",
        "SELECT setting FROM pg_settings",
        "SELECT x.setting FROM (TABLE pg_catalog.pg_settings) x",
        "SELECT * FROM pg_show_all_settings()",
        "EXPLAIN SELECT current_setting('archive_command')",
    ],
)
def test_setting_that_may_hold_a_password_is_not_shown(sql: str) -> None:
    with pytest.raises(QueryNotReadOnly, match="may hold passwords") as caught:
        guard.admit(sql)
    assert "by its name" in caught.value.remedy


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TimeZone",
        "SHOW ssl_key_file",
        "SHOW password_encryption",
        "SHOW app.tenant",
        "SELECT current_setting('work_mem'), current_setting('app.tenant', true)",
        "SELECT * FROM shop.pg_settings",
        "WITH pg_settings AS (SELECT 1 AS a) SELECT a FROM pg_settings",
        "SELECT 'archive_command'",
    ],
)
def test_other_settings_are_shown(sql: str) -> None:
    assert guard.admit(sql)


@pytest.mark.req("P9")
@pytest.mark.parametrize(
    ("call", "rows"),
    [
        ("generate_series(1, 1000000000000)", "1,000,000,000,000"),
        ("pg_catalog.generate_series(-1e12::bigint, 0)", "1,000,000,000,001"),
        ("generate_series(1, 10, 0.000000001)", "9,000,000,001"),
        ("generate_series(2e9, 0, -1)", "2,000,000,001"),
        ("generate_series(0, 1e20, 1e-20)", f"{10**40 + 1:,}"),
    ],
)
def test_series_that_would_fill_the_disk_is_told(call: str, rows: str) -> None:
    for sql in (f"SELECT count(*) FROM {call}", f"SELECT {call}"):
        with pytest.raises(QueryFailed, match=f"makes {rows} rows") as caught:
            guard.admit(sql)
        assert caught.value.sqlstate == "54000" and caught.value.position


@pytest.mark.parametrize(
    "call",
    [
        "generate_series(1, 1000000)",
        "generate_series(1000000000000, 1000000000005)",
        "generate_series(1e12, 1)",
        "generate_series(0, 1e300000000)",
        "generate_series(1, 5, 0)",
        "generate_series(date '2020-01-01', now(), '1 day')",
        "generate_series(1, (SELECT count(*) FROM orders))",
    ],
)
def test_other_series_are_left_to_the_server(call: str) -> None:
    assert guard.admit(f"SELECT * FROM {call}")


@pytest.mark.parametrize("sql", ["", " ", "--", "/**/", ";", ";;"])
def test_nothing_is_no_query(sql: str) -> None:
    with pytest.raises(QueryFailed):
        guard.admit(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 50_000 + "1" + ")" * 50_000,
        "SELECT 1" + "+1" * 60_000,
        "SELECT " + "NOT " * 60_000 + "true",
        "SELECT " + "-" * 3 + "\n" + "- " * 60_000 + "1",
        "SELECT * FROM " + "(SELECT * FROM " * 15_000 + "t" + ")" * 15_000,
        "SELECT '" + "x" * 300_000 + "'",
        "SELECT '\ud800'",
        "SELECT \x1b",
    ],
    ids=["parentheses", "sum", "not", "minus", "subqueries", "length", "surrogate", "escape"],
)
def test_monstrous_query_is_answered(sql: str) -> None:
    try:
        guard.admit(sql)
    except REFUSALS as exc:
        assert len(exc.message) < 1000


_PIECES = st.sampled_from([*attacks.STATEMENTS, *queries.STATEMENTS])
_NOISE = st.text(string.printable + "\0é€\u2028\ufeff'\"$;(){}", max_size=8)


@settings(max_examples=400, deadline=None)
@given(_PIECES, _PIECES, st.data())
@example("SELECT 1", "SELECT 1", None)
def test_mutated_statements_raise_nothing_but_refusals(first: str, second: str, data) -> None:
    sql = first
    if data is not None:
        at = data.draw(st.integers(0, len(first)))
        to = data.draw(st.integers(at, len(first)))
        sql = first[:at] + data.draw(_NOISE) + data.draw(st.sampled_from(["", second])) + first[to:]
    try:
        statement = guard.admit(sql)
    except REFUSALS as exc:
        assert exc.message
    else:
        # what passed still passes by itself, as it is sent
        assert guard.admit(statement.text).relations == statement.relations


@settings(max_examples=100, deadline=None)
@given(
    # a line end would end a comment
    st.sampled_from([each for each in attacks.STATEMENTS if "--" not in each]),
    st.sampled_from([" ", "\n", "\t", "/**/", "--\n"]),
)
def test_attack_with_other_blanks_is_refused(sql: str, blank: str) -> None:
    with pytest.raises(REFUSALS):
        guard.admit(blank + sql.replace(" ", f" {blank}") + blank)
