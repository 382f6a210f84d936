"""A source that is named and not fetched: what the model is told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.connector.v1 import connector_pb2 as pb
from services.gateway.conversation import Message
from services.gateway.guide import Known
from services.gateway.holdings import MAX_COLUMNS, MOST, columns, line, relevant
from services.gateway.prompt import Holdings, LiveSource, prompt, trimmed
from tests.gateway.conftest import ANSWER, Platform
from tests.gateway.test_lake import Written, lake  # noqa: F401

TABLE, BLOB = pb.ENTRY_KIND_TABLE, pb.ENTRY_KIND_BLOB


def table(path: str, rows: int = 0, comment: str = "") -> pb.Entry:
    return pb.Entry(path=path, kind=TABLE, row_estimate=rows, comment=comment, readable=True)


@pytest.mark.parametrize(
    ("entry", "its_columns", "told"),
    [
        (table("public.orders", 200_000), "id bigint", "public.orders (about 200,000 rows): id bigint"),
        (table("a.b", 0, "kept\n by  hand"), "", "a.b (about 0 rows) -- kept by hand"),
        (pb.Entry(path="a.csv", kind=BLOB, size_bytes=1200), "", "a.csv (1,200 bytes)"),
        (pb.Entry(path="web/", kind=pb.ENTRY_KIND_PREFIX), "", "web/ (folder)"),
        # PostgreSQL does not know before it has analysed
        (pb.Entry(path="s.t", kind=TABLE, row_estimate=-1), "", "s.t"),
    ],
)  # fmt: skip
def test_line_of_an_entry(entry: pb.Entry, its_columns: str, told: str) -> None:
    assert line(entry, its_columns) == told


def test_columns_say_where_they_point() -> None:
    key = pb.Constraint(
        kind=pb.CONSTRAINT_KIND_FOREIGN_KEY,
        columns=["customer"],
        references_path="public.customers",
    )
    told = pb.InspectResponse(
        columns=[pb.Column(name="id", type="bigint"), pb.Column(name="customer", type="bigint")],
        constraints=[key],
    )
    assert columns(told) == "id bigint, customer bigint -> public.customers"
    wide = pb.InspectResponse(columns=[pb.Column(name=f"c{n}", type="text") for n in range(43)])
    assert columns(wide).endswith(f"c{MAX_COLUMNS - 1} text, … 3 more")


def test_what_the_question_speaks_of_comes_first_then_the_largest() -> None:
    entries = [
        table("public.audit_log", 9_000_000),
        table("public.refunds", 10),
        table("public.t17", 5, "which carrier brought it"),
        table("public.customers", 500),
    ]
    found = [each.path for each in relevant(entries, "Do carriers differ in refunds?", 3)]
    assert found == ["public.refunds", "public.t17", "public.audit_log"]
    assert relevant(entries, "How many refunds?", 1)[0].path == "public.refunds"
    assert [each.path for each in relevant(entries, "", 2)] == [
        "public.audit_log",
        "public.customers",
    ]


@given(
    st.lists(st.tuples(st.text(max_size=8), st.integers(-1, 10**12)), max_size=60),
    st.text(max_size=40),
)
def test_no_more_than_may_be_told_and_nothing_made_up(
    given: list[tuple[str, int]], question: str
) -> None:
    entries = [table(path, rows) for path, rows in given]
    found = relevant(entries, question, MOST)
    assert len(found) == min(MOST, len(entries))
    assert all(any(each is one for one in entries) for each in found)


def test_prompt_tells_what_is_left_out() -> None:
    holds = Holdings(["public.a (about 1 rows)"], 1_200)
    for kind, see in (("postgresql", "tables()"), ("azure_blob", "list()")):
        source = LiveSource("shop", kind, holds=holds)
        text = prompt([Message("user", "Why?")], [], [source])[-1].content
        assert "  It holds:\n  - public.a (about 1 rows)\n" in text
        assert f'  and 1,200 more: sources["shop"].{see}' in text


@pytest.mark.req("C1", "X1")
async def test_source_alone_is_told_and_not_fetched(platform: Platform) -> None:
    await platform.source("shop")
    platform.models.turns = [ANSWER.format("It is.")]
    reply = await platform.chat(data_sources=[{"source": "shop"}])
    assert reply.status_code == 200
    asked = platform.models.requests[0].messages[-1].content
    assert '- sources["shop"] (' in asked
    assert "  - public.orders (about 2 rows): " in asked and "\n# Data\n" not in asked
    ((given,),) = platform.sandbox.attached.values()
    assert given.name == "shop" and given.grant


@pytest.mark.req("C1")
async def test_events_name_the_selection_that_was_fetched(platform: Platform) -> None:
    await platform.source("shop")
    platform.models.turns = [ANSWER.format("It is.")]
    data = [{"source": "shop"}, {"source": "shop", "table": "public.orders"}]
    chunks = await platform.stream(data_sources=data)
    events = [each["isobath"] for each in chunks if "isobath" in each]
    ready = [each["file_ready"] for each in events if "file_ready" in each]
    assert [each["selection"] for each in ready] == [1]
    assert len(platform.sandbox.import_items) == 1


@pytest.mark.req("C2", "D4")
@pytest.mark.parametrize("more", [{"limit": 5}, {"as": "x"}, {"format": "csv"}, {"version": "v"}])
async def test_what_counts_for_fetched_data_only_is_refused(
    platform: Platform, more: dict[str, object]
) -> None:
    await platform.source("shop")
    reply = await platform.chat(data_sources=[{"source": "shop", **more}])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "data_sources[0]")
    assert platform.models.requests == []
    reply = await platform.http.post("/v1/data-sources/shop/query", json={})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "body")


@pytest.mark.req("C1", "B2")
async def test_files_of_a_lake_are_told(lake: Written) -> None:  # noqa: F811
    await lake.container.upload_blob("web/a.csv", b"n\n1\n")
    await lake.container.upload_blob("notes.txt", b"hello")
    lake.program("1")
    reply = await lake.platform.chat(data_sources=[{"source": "lake"}])
    assert reply.status_code == 200, reply.text
    asked = lake.platform.models.requests[0].messages[-1].content
    assert "  It holds:\n" in asked
    assert "  - web/ (folder)" in asked and "  - notes.txt (5 bytes)" in asked


def live(name: str, lines: list[str], *queries: str) -> LiveSource:
    known = [Known(f"q{n}", sql) for n, sql in enumerate(queries)]
    return LiveSource(name, "postgresql", holds=Holdings(lines, 3), queries=known)


def chars_of(sources: list[LiveSource]) -> int:
    return len(prompt([Message("user", "?")], (), sources)[-1].content)


@pytest.mark.req("C1")
def test_what_sources_hold_is_told_as_it_fits() -> None:
    few = live("few", ["a" * 40] * 2)
    many = live("many", ["b" * 40] * 100, "SELECT 1", "x" * 900)
    assert trimmed([few, many], 100_000) == [few, many]
    # the small one whole, the rest of the room for the other
    first, second = trimmed([few, many], 1_000)
    assert first == few
    assert [each.sql for each in second.queries] == ["SELECT 1"]
    # five characters make an item of a line
    assert len(second.holds.lines) == (1_000 - 90 - len("q0\n    SELECT 1") - 5) // 45
    assert second.holds.left_out == 3 + 100 - len(second.holds.lines)
    # of one at least something is told
    (only,) = trimmed([live("wide", ["c" * 500, "d"])], 100)
    assert only.holds == Holdings(["c" * 94 + "…"], 4)


@given(
    st.lists(st.lists(st.text(max_size=30), max_size=8), min_size=1, max_size=4),
    st.integers(0, 400),
)
def test_trimmed_sources_keep_within_their_room(found: list[list[str]], room: int) -> None:
    sources = [live(f"s{n}", lines, *lines[:2]) for n, lines in enumerate(found)]
    told = trimmed(sources, room)
    assert [each.name for each in told] == [each.name for each in sources]
    # beside the room: headings, and of each source the sign that a line was cut
    headings = len("  It holds:\n") + len("  Queries that are known to be right:\n") + 20
    bare = [live(each.name, []) for each in sources]
    assert chars_of(told) <= chars_of(bare) + room + headings * len(sources)
    for before, after in zip(sources, told, strict=True):
        whole = len(after.holds.lines) + after.holds.left_out
        assert whole == len(before.holds.lines) + before.holds.left_out
