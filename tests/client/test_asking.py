"""Questions by either client, before a real gateway."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from IPython.core.formatters import DisplayFormatter

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import AsyncIsobath, Isobath, RunCancelled, RunFailed
from isobath_client.errors import NotFound, QuotaExceeded, Refused
from isobath_client.events import (
    Completed,
    Event,
    FigureReady,
    FileReady,
    Other,
    ProgramOutput,
    Started,
    Text,
    event_of,
)
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.doubles import HANG, PNG

T = TypeVar("T")
PROGRAM = f"print(6 * 7)\nshow({PNG!r})\nsave('sub/out.csv', b'a,b\\n1,x\\n')"
ORDERS = "shop:public.orders"


async def blocking(platform: Platform, work: Callable[[Isobath], T]) -> T:
    def within() -> T:
        with Isobath(platform.grpc_address, api_key=KEY) as isobath:
            return work(isobath)

    return await asyncio.to_thread(within)


def asyncio_client(platform: Platform) -> AsyncIsobath:
    return AsyncIsobath(platform.grpc_address, api_key=KEY)


@pytest.mark.req("C1", "C4", "C6", "C9")
async def test_answer_has_figures_tables_files_programs_and_usage(
    platform: Platform, tmp_path: Path
) -> None:
    await platform.source()
    platform.models.turns = [CODE.format(PROGRAM), ANSWER.format("It is **42**.")]
    told: list[Event] = []

    def work(isobath: Isobath) -> None:
        answer = isobath.ask("How many?", data=ORDERS, on_event=told.append)
        assert str(answer) == answer.answer == "It is **42**."
        assert answer.events == tuple(told) and answer.finish == "answer"
        assert answer.usage.rounds == 1 and answer.usage.fetched_rows == 2
        (program,) = answer.programs
        assert (program.outcome, program.output) == ("ok", "42\n") and "6 * 7" in program.code
        (figure,) = answer.figures
        assert figure.media_type == "image/png" and figure.loaded is None
        assert figure.read() == figure._repr_png_() == PNG
        assert figure.save(tmp_path) == tmp_path / figure.name
        (table,) = answer.tables
        assert table.to_pandas().to_dict("list") == {"a": [1], "b": ["x"]}
        assert table.to_arrow().column_names == ["a", "b"]
        shown, _ = DisplayFormatter().format(answer)  # as a notebook does it
        assert "data:image/png;base64," in shown["text/html"] and "<details>" in shown["text/html"]
        assert shown["text/markdown"] == shown["text/plain"] == "It is **42**."
        saved = answer.save(tmp_path / "all")
        assert {each.name for each in saved} >= {"out.csv", "report.md", figure.name}
        assert (tmp_path / "all" / table.name).read_bytes() == table.read()

    await blocking(platform, work)


@pytest.mark.req("C5")
async def test_follow_up_goes_on_in_the_thread(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("one"), ANSWER.format("two")]

    def work(isobath: Isobath) -> None:
        first = isobath.ask("How many?")
        second = first.follow_up("And now?")
        assert (second.answer, second.thread_id) == ("two", first.thread_id)
        assert [each.content for each in isobath.threads.get(first.thread_id).messages] == [
            "How many?", "one", "And now?", "two",
        ]  # fmt: skip

    await blocking(platform, work)


async def test_asyncio_client_has_the_same_answer(platform: Platform, tmp_path: Path) -> None:
    await platform.source()
    platform.models.turns = [CODE.format(PROGRAM), ANSWER.format("It is 42."), ANSWER.format("yes")]
    async with asyncio_client(platform) as isobath:
        answer = await isobath.ask("How many?", data=[ORDERS])
        # showing cannot wait: they are there
        assert answer.figures[0]._repr_png_() == PNG
        assert (await answer.tables[0].to_pandas())["b"].tolist() == ["x"]
        assert tmp_path / "report.md" in await answer.save(tmp_path)
        assert (await answer.follow_up("Sure?")).answer == "yes"
        assert [run.run_id async for run in isobath.runs.list()][-1] == answer.run_id


@pytest.mark.req("C2", "P5", "S6")
async def test_failed_run_raises_with_its_events_and_its_cause(platform: Platform) -> None:
    await platform.source()

    def work(isobath: Isobath) -> None:
        with pytest.raises(RunFailed) as failed:
            isobath.ask("How many?", data="shop=SELECT FORM")
        assert failed.value.reason == "QUERY_FAILED" and failed.value.remedy == "Correct the query."
        assert failed.value.fields["position"] == "8"
        assert isinstance(failed.value.__cause__, Refused)
        assert isinstance(failed.value.events[0], Started)
        assert failed.value.run_id == isobath.runs.get(failed.value.run_id).run_id
        with pytest.raises(NotFound, match="nowhere"):
            isobath.ask("How many?", data="nowhere")

    await blocking(platform, work)


@pytest.mark.req("C7")
async def test_run_that_somebody_cancels_raises(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]

    def work(isobath: Isobath) -> None:
        def cancel(event: Event) -> None:
            if isinstance(event, Text):
                isobath.runs.cancel(event.run_id)

        with pytest.raises(RunCancelled) as cancelled:
            isobath.ask("How many?", on_event=cancel)
        assert cancelled.value.run_id and cancelled.value.events

    await blocking(platform, work)


@pytest.mark.req("C7")
@pytest.mark.parametrize("detach", [False, True])
async def test_leaving_a_stream_cancels_the_run_unless_detached(
    platform: Platform, detach: bool
) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]

    def work(isobath: Isobath) -> "analyst.RunState":
        with closing(isobath.stream("How many?", detach=detach)) as events:
            run_id = next(events).run_id
        return isobath.runs.get(run_id).state

    state = await blocking(platform, work)
    assert (state == analyst.RUN_STATE_CANCELLED) is not detach


@pytest.mark.req("C7")
async def test_cancelled_task_cancels_its_run(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    async with asyncio_client(platform) as isobath:
        asking = asyncio.create_task(isobath.ask("How many?"))
        async with asyncio.timeout(30):
            await platform.models.held.reached.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await platform.models.held.stopped.wait()
        (run,) = [run async for run in isobath.runs.list()]
        assert run.state == analyst.RUN_STATE_CANCELLED


async def test_left_stream_of_asyncio_cancels_its_run(platform: Platform) -> None:
    platform.models.turns = [f"<Analyze>x{HANG}"]
    async with asyncio_client(platform) as isobath:
        async with aclosing(isobath.stream("How many?")) as events:
            first = await anext(events)
        run = await isobath.runs.get(first.run_id)
        assert run.state == analyst.RUN_STATE_CANCELLED


async def test_events_are_typed_and_matched(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format(PROGRAM), ANSWER.format("It is 42.")]

    def work(isobath: Isobath) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for event in isobath.stream("How many?", data=ORDERS):
            match event:
                case Started(question=question):
                    seen["question"] = question
                case FileReady(source=source, rows=rows):
                    seen["file"] = (source, rows)
                case ProgramOutput(stream="stdout", text=text):
                    seen["printed"] = text
                case FigureReady(name=name):
                    seen["figure"] = name
                case Completed(answer=answer):
                    seen["answer"] = answer
        return seen

    seen = await blocking(platform, work)
    assert seen.pop("figure").endswith(".png")
    assert seen == {
        "question": "How many?",
        "file": ("shop", 2),
        "printed": "42\n",
        "answer": "It is 42.",
    }


def test_event_of_a_later_version_is_told_as_such() -> None:
    event = event_of(analyst.Event(run_id="run-1", sequence=3))
    assert isinstance(event, Other) and (event.run_id, event.sequence) == ("run-1", 3)


async def test_file_is_sent_with_the_question(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    platform.models.turns = [ANSWER.format("read"), ANSWER.format("again")]

    def work(isobath: Isobath) -> None:
        isobath.ask("What is in it?", files=[tmp_path / "note.txt"])
        (sent,) = [each for each in isobath.files.list() if each.name == "note.txt"]
        assert isobath.files.read(sent.id) == b"hello" == b"".join([isobath.files.read(sent.id)])
        assert isobath.ask("And now?", files=[sent.id]).answer == "again"
        isobath.files.remove(sent.id)
        with pytest.raises(NotFound):
            isobath.files.get(sent.id)

    await blocking(platform, work)


@pytest.mark.req("S2")
async def test_used_up_quota_says_when_to_come_back(platform: Platform) -> None:
    def work(isobath: Isobath) -> None:
        made = isobath.access.create_key("ann", quota={"tokens_per_day": 1})
        changed = isobath.access.update_key(made.key.id, name="nightly")
        assert (changed.name, changed.quota.tokens_per_day) == ("nightly", 1)
        with Isobath(platform.grpc_address, api_key=made.secret) as ann:
            ann.ask("How many?")
            until = time.monotonic() + 30
            while not ann.access.caller().today.prompt_tokens and time.monotonic() < until:
                time.sleep(0.05)  # it is counted when the run has tidied up
            with pytest.raises(QuotaExceeded) as used_up:
                ann.ask("How many?")
        assert used_up.value.retry_after_s and used_up.value.fields["quota"] == "tokens_per_day"

    platform.models.turns = [ANSWER.format("one")]
    await blocking(platform, work)
