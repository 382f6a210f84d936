"""What a source's owner tells of it: read, chosen, and told to the model."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath.connector.v1 import connector_pb2 as connector
from servicekit.status import InvalidField
from services.gateway.guide import MAX_NOTE_CHARS, Guide, Known, guide_of
from services.gateway.holdings import columns, kept_together, line, neighbours, relevant
from tests.gateway.conftest import ANSWER, Platform, draft
from tests.gateway.test_command import isobath

GUIDE = {
    "notes": {
        "public.orders": "one row per order line",
        "public.orders#count": "pieces, not orders",
        "web/*.csv": "visits of the shop",
    },
    "queries": [
        {"question": "Which customers left?", "sql": "SELECT 1"},
        {"question": "How many orders are there?", "sql": "SELECT count(*)\nFROM public.orders"},
    ],
}


def table(path: str, *points_to: str) -> connector.InspectResponse:
    foreign = [
        connector.Constraint(
            kind=connector.CONSTRAINT_KIND_FOREIGN_KEY, columns=["x"], references_path=to
        )
        for to in points_to
    ]
    return connector.InspectResponse(columns=[connector.Column(name="x")], constraints=foreign)


def entry(path: str) -> connector.Entry:
    return connector.Entry(path=path, kind=connector.ENTRY_KIND_TABLE, readable=True)


@pytest.mark.req("C1")
def test_notes_are_found_by_path_column_and_glob() -> None:
    guide = guide_of(GUIDE)
    assert guide.about("public.orders") == "one row per order line"
    assert guide.about("web/a.csv") == "visits of the shop"
    assert guide.about("web/*.csv") == "visits of the shop"
    assert guide.about("public.orders2") == ""
    assert guide.columns("public.orders") == {"count": "pieces, not orders"}
    assert guide.columns("web/a.csv") == {}


@pytest.mark.req("C1")
def test_queries_that_fit_the_question_come_first() -> None:
    guide = guide_of(GUIDE)
    assert guide.fitting("how many order", 1)[0].sql.startswith("SELECT count")
    assert guide.fitting("the customers of last year", 1)[0].sql == "SELECT 1"
    assert len(guide.fitting("", 9)) == 2


@pytest.mark.req("D5")
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], "guide"),
        ({"note": {}}, "guide"),
        ({"notes": []}, "guide.notes"),
        ({"notes": {"a": 5}}, "guide.notes.a"),
        ({"notes": {"a": " "}}, "guide.notes.a"),
        ({"notes": {"a": "x" * (MAX_NOTE_CHARS + 1)}}, "guide.notes.a"),
        ({"notes": {str(n): "x" for n in range(2001)}}, "guide.notes"),
        ({"queries": {}}, "guide.queries"),
        ({"queries": [{"question": "a", "sql": "b"}] * 201}, "guide.queries"),
        ({"queries": ["a"]}, "guide.queries[0]"),
        ({"queries": [{"question": "a"}]}, "guide.queries[0].sql"),
        ({"queries": [{"question": "a", "sql": "b", "c": "d"}]}, "guide.queries[0]"),
    ],
)
def test_wrong_guide_is_refused_by_its_field(given: Any, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        guide_of(given)
    assert refused.value.field == field


TEXT = st.text(min_size=1, max_size=20).filter(str.strip)


@given(
    st.dictionaries(TEXT, TEXT, max_size=5),
    st.lists(st.builds(Known, TEXT, TEXT), max_size=5),
    TEXT,
)
def test_guide_is_kept_as_it_was_given(
    notes: dict[str, str], queries: list[Known], question: str
) -> None:
    guide = Guide(notes, tuple(queries))
    assert guide_of(json.loads(json.dumps(guide.as_dict()))) == guide
    assert sorted(guide.fitting(question, 9), key=repr) == sorted(queries, key=repr)
    for of in notes:
        guide.about(of)
        guide.columns(of)


@pytest.mark.req("C1")
def test_relation_is_chosen_by_what_is_noted_of_it() -> None:
    guide = Guide({"public.t17": "refunds that were paid out", "public.t3#x": "the cause"})
    entries = [entry(f"public.t{n}") for n in range(50)]
    assert relevant(entries, "How much was refunded? refunds", 1, guide)[0].path == "public.t17"
    assert relevant(entries, "What was the cause?", 1, guide)[0].path == "public.t3"


@pytest.mark.req("C1", "P4")
def test_what_a_relation_points_to_is_kept_beside_it() -> None:
    entries = [entry(f"public.t{n}") for n in range(9)]
    known = {"public.t0": table("public.t0", "public.t7", "public.t0", "other.x")}
    near = neighbours(known, entries)
    assert [each.path for each in near] == ["public.t7"]
    told = kept_together(entries[:1], near, entries[:4])
    assert [each.path for each in told] == ["public.t0", "public.t7", "public.t1", "public.t2"]
    assert kept_together(entries[:2], near, entries[:2]) == [*entries[:2], *near]


def test_notes_stand_in_the_lines() -> None:
    one = connector.Entry(path="public.a", comment="old")
    assert line(one, "x", "new\nwords") == "public.a -- old. new words: x"
    assert columns(table("public.a", "public.b"), {"x": "why"}) == "x  -> public.b (why)"


@pytest.mark.req("C1")
async def test_model_is_told_the_guide_live_and_fetched(platform: Platform) -> None:
    await platform.source("shop", guide=GUIDE)
    platform.models.turns = [ANSWER.format("so"), ANSWER.format("so")]
    assert (await platform.chat({"source": "shop"})).status_code == 200
    live = platform.models.requests[0].messages[-1].content
    assert "public.orders (about 2 rows) -- one row per order line: " in live
    assert "count text (pieces, not orders)" in live
    assert (
        "  Queries that are known to be right:\n"
        "  - How many orders are there?\n    SELECT count(*)\n    FROM public.orders\n"
    ) in live
    await platform.chat({"source": "shop", "table": "public.orders"})
    fetched = platform.models.requests[1].messages[-1].content
    file = json.loads(fetched.split("# Data\nFile 1:\n")[1].split("\n\n")[0])
    assert file["note"] == "one row per order line; count: pieces, not orders"


@pytest.mark.req("D1")
async def test_guide_is_kept_shown_and_changed(platform: Platform) -> None:
    base = "/v1/data-sources"
    await platform.source("shop", guide=GUIDE)
    kept = (await platform.http.get(f"{base}/shop")).json()
    assert kept["guide"] == GUIDE and kept["version"] == 1
    await platform.http.patch(f"{base}/shop", json={"description": "d"})
    changed = (await platform.http.patch(f"{base}/shop", json={"guide": {}})).json()
    assert changed["guide"] == {"notes": {}, "queries": []} and changed["version"] == 1
    refused = await platform.http.post(base, json=draft("other", guide={"notes": []}))
    assert refused.json()["error"]["param"] == "guide.notes"
    stub = rpc.DataSourceServiceStub(platform.grpc)
    guide = analyst.Guide(notes={"a": "b"}, queries=[analyst.KnownQuery(question="q", sql="s")])
    change = analyst.UpdateDataSourceRequest(id="shop", guide=guide)
    assert (await stub.UpdateDataSource(change)).data_source.guide == guide
    found = await stub.GetDataSource(analyst.GetDataSourceRequest(id="shop"))
    assert found.data_source.guide == guide


async def test_guide_is_shown_and_replaced_by_the_command(
    platform: Platform, tmp_path: Any
) -> None:
    await platform.source("shop")
    path = tmp_path / "guide.json"
    path.write_text(json.dumps(GUIDE))
    replaced = await isobath(platform, "sources", "guide", "shop", str(path))
    assert json.loads(replaced.stdout) == GUIDE
    assert json.loads((await isobath(platform, "sources", "guide", "shop")).stdout) == GUIDE
    unknown = await isobath(platform, "sources", "guide", "none")
    assert unknown.exit_code == 1 and "none" in unknown.output
