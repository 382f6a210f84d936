"""What callers think of a run: said, seen by its owner alone, in the record, gone with the run."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath_client import AsyncIsobath
from isobath_client.errors import InvalidRequest, NotFound
from servicekit.metrics import REGISTRY
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway import errors
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.feedback import MAX_COMMENT_CHARS, MAX_CORRECTION_CHARS, Feedback, Opinion
from services.gateway.store.tables import AuditRow, FeedbackRow, RunRow
from tests.gateway.conftest import KEY, Platform
from tests.gateway.doubles import HANG
from tests.gateway.stores import ADA, add, run_row, store, store_url
from tests.gateway.test_command import isobath, lines
from tests.gateway.test_several import begun, stands

__all__ = ["store", "store_url"]
pytestmark = [pytest.mark.req("T3"), pytest.mark.usefixtures("no_leaks")]
BOB = Caller("ada", "key-bob")


def counted(rating: str) -> float:
    return REGISTRY.get_sample_value("isobath_feedback_total", {"rating": rating}) or 0.0


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("rating", {}),
        ("rating", {"comment": "only this"}),
        ("rating", {"correction": " \n"}),
        ("rating", {"rating": "UP"}),
        ("rating", {"rating": "5"}),
        ("comment", {"rating": "up", "comment": "x" * (MAX_COMMENT_CHARS + 1)}),
        ("comment", {"rating": "up", "comment": "a\0b"}),
        ("correction", {"correction": "x" * (MAX_CORRECTION_CHARS + 1)}),
        ("correction", {"correction": "a\0b"}),
    ],
)
def test_opinion_that_cannot_be_names_the_field(field: str, said: dict[str, str]) -> None:
    with pytest.raises(InvalidField) as refused:
        Opinion(**said)
    assert refused.value.metadata()["field"] == field


@pytest.mark.parametrize(
    "said",
    [
        {"rating": "up"},
        {"rating": "down", "comment": "x" * MAX_COMMENT_CHARS},
        {"correction": "x" * MAX_CORRECTION_CHARS},
    ],
)
def test_opinion_has_a_rating_or_a_correction(said: dict[str, str]) -> None:
    assert vars(Opinion(**said)) == {"rating": "", "comment": "", "correction": ""} | said


# As the database keeps it


def book(store: Database) -> Feedback:
    async def ended(owner: str, run_id: str) -> analyst.Run:
        return analyst.Run(run_id=run_id)

    return Feedback(store, ended, Audit(store))


def said(given: analyst.RunFeedback) -> tuple[str, str, str]:
    return given.given_by, given.feedback.rating, given.feedback.correction


async def test_new_word_of_a_caller_takes_the_place_of_his_earlier_one(store: Database) -> None:
    await add(store, run_row("run-1", state="completed"))
    feedback, before = book(store), counted("up")
    first = await feedback.put(ADA, "run-1", Opinion("up"))
    assert await feedback.put(ADA, "run-1", Opinion("up")) == first
    assert counted("up") == before + 1
    await feedback.put(BOB, "run-1", Opinion("down", "no", "It is 42."))
    await feedback.put(ADA, "run-1", Opinion("", "", "It is 43."))
    found = await feedback.of("ada", "run-1")
    assert sorted(map(said, found)) == [
        ("key-ada", "", "It is 43."),
        ("key-bob", "down", "It is 42."),
    ]
    assert counted("up") == before + 1
    async with store.begin() as session:
        trail = [
            (row.operation, row.caller, row.detail)
            for row in await session.scalars(select(AuditRow))
        ]
    # who did it, and nothing of what was said
    assert trail == [
        ("feedback", "key-ada", "run-1 up"),
        ("feedback", "key-bob", "run-1 down"),
        ("feedback", "key-ada", "run-1"),
    ]
    await feedback.delete(ADA, "run-1")
    assert list(map(said, await feedback.of("ada", "run-1"))) == [("key-bob", "down", "It is 42.")]
    with pytest.raises(errors.NotFound, match="feedback"):
        await feedback.delete(ADA, "run-1")


async def test_word_on_a_run_that_is_gone_meanwhile_is_not_kept(store: Database) -> None:
    with pytest.raises(errors.NotFound, match="run-gone"):
        await book(store).put(ADA, "run-gone", Opinion("up"))
    await add(store, run_row("run-1", state="completed"))
    await book(store).put(ADA, "run-1", Opinion("up"))
    async with store.begin() as session:
        await session.execute(delete(RunRow))
        assert (await session.scalars(select(FeedbackRow))).all() == []


# Over both faces


async def test_feedback_is_told_to_its_owner_and_stands_in_the_record(platform: Platform) -> None:
    run = (await platform.chat()).json()["run_id"]
    place = f"/v1/runs/{run}/feedback"
    assert (await platform.http.get(place)).json()["data"] == []
    wrong = "The **north**.\n\n| a |\n"
    body = {"rating": "down", "comment": "cancelled count too", "correction": wrong}
    put = await platform.http.post(place, json=body)
    assert put.status_code == 200, put.text
    told = put.json()
    assert {name: told[name] for name in body} == body and told["given_by"].startswith("key-")
    again = (await platform.http.post(place, json=body)).json()
    assert again == told
    assert (await platform.http.get(place)).json()["data"] == [told]
    # a colleague's key, of the same owner
    async with platform.other("default") as colleague:
        corrected = (await colleague.post(place, json={"correction": "The south."})).json()
        assert corrected["rating"] is None
        gone = await colleague.get("/v1/runs/run-none/feedback")
        assert gone.status_code == 404
    record = (await platform.http.get(f"/v1/runs/{run}/conversation")).json()
    assert [(each["rating"], each["correction"]) for each in record["feedback"]] == [
        ("down", wrong),
        ("", "The south."),
    ]
    assert set(record["feedback"][0]) == {"rating", "comment", "correction", "created_at"}
    stub = rpc.AnalystServiceStub(platform.grpc)
    listed = await stub.ListFeedback(analyst.ListFeedbackRequest(run_id=run))
    assert [each.feedback.rating for each in listed.feedback] == ["down", ""]
    deleted = (await platform.http.delete(place)).json()
    assert deleted == {"id": run, "object": "feedback", "deleted": True}
    missing = await platform.http.delete(place)
    assert missing.json()["error"]["details"] == {"kind": "feedback", "id": run}
    assert len((await platform.http.get(place)).json()["data"]) == 1


async def test_other_owners_and_keys_that_only_read_may_not_say_anything(
    platform: Platform,
) -> None:
    run = (await platform.chat()).json()["run_id"]
    place = f"/v1/runs/{run}/feedback"
    async with platform.other() as stranger:
        for method in ("GET", "POST", "DELETE"):
            body = {"rating": "up"} if method == "POST" else None
            refused = await stranger.request(method, place, json=body)
            assert refused.json()["error"]["details"]["kind"] == "run", method
    async with platform.other("default", scope="read-only") as reader:
        assert (await reader.get(place)).status_code == 200
        assert (await reader.post(place, json={"rating": "up"})).status_code == 403
        assert (await reader.delete(place)).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rating"),
        ({"rating": "good"}, "rating"),
        ({"rating": 1}, "rating"),
        ({"rating": "up", "comment": ["a"]}, "comment"),
        ({"correction": {}}, "correction"),
    ],
)
async def test_body_that_cannot_be_is_told(
    platform: Platform, body: dict[str, Any], field: str
) -> None:
    run = (await platform.chat()).json()["run_id"]
    # these break the document on purpose
    refused = await platform.http.post(f"/v1/runs/{run}/feedback", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)


async def test_runs_that_failed_are_rated_and_those_that_go_are_not(platform: Platform) -> None:
    await platform.source()
    missing = {"source": "shop", "table": "public.nothing"}
    failed = await begun(platform, data_sources=[missing])
    await stands(platform, failed, "failed")
    put = await platform.http.post(f"/v1/runs/{failed}/feedback", json={"rating": "down"})
    assert put.status_code == 200
    platform.models.turns = [HANG]
    going = await begun(platform)
    await platform.models.held.reached.wait()
    refused = await platform.http.post(f"/v1/runs/{going}/feedback", json={"rating": "up"})
    assert (refused.status_code, refused.json()["error"]["reason"]) == (409, "CONFLICT")
    await platform.http.post(f"/v1/runs/{going}/cancel")


async def test_feedback_by_the_client(platform: Platform) -> None:
    run = (await platform.chat()).json()["run_id"]
    async with AsyncIsobath(platform.grpc_address, api_key=KEY) as client:
        given = await client.runs.rate(run, "down", comment="no", correction="It is 42.")
        assert given.feedback.correction == "It is 42."
        (found,) = await client.runs.feedback(run)
        assert found == given
        record = await client.runs.conversation(run)
        assert [each.comment for each in record.feedback] == ["no"]
        with pytest.raises(InvalidRequest):
            await client.runs.rate(run)
        await client.runs.unrate(run)
        assert list(await client.runs.feedback(run)) == []
        with pytest.raises(NotFound):
            await client.runs.unrate(run)


async def test_feedback_by_the_command(platform: Platform, tmp_path: Path) -> None:
    run = (await platform.chat()).json()["run_id"]
    right = tmp_path / "right.md"
    right.write_text("It is **42**.\n")
    told = await isobath(platform, "feedback", run, "--up")
    assert (told.exit_code, told.stdout) == (0, f"{run}: up\n")
    words = ("feedback", run, "--down", "--comment", "no", "--correction", str(right))
    (given,) = await lines(platform, *words)
    assert given["feedback"]["rating"] == "down"
    (listed,) = await lines(platform, "feedback", run)
    assert listed == given and listed["feedback"]["correction"] == "It is **42**.\n"
    wordless = await isobath(platform, "feedback", run, "--comment", "only this")
    assert wordless.exit_code == 1 and "rating or a correction" in wordless.stderr
    removed = await isobath(platform, "feedback", run, "--remove")
    assert removed.stdout == f"{run}: taken back\n"
    assert await lines(platform, "feedback", run) == []
