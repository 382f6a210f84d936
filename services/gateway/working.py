"""A run at work: its grants, its analysis, its report, and its end."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import context, logs, tracing
from servicekit.sql import Database
from servicekit.status import Fault, Outcome, StatusTable, outcome
from services.gateway import conversations, interrupted
from services.gateway.access.usage import Usage, Used
from services.gateway.analysis import Analysis
from services.gateway.approvals import Approvals
from services.gateway.callers import Caller
from services.gateway.checkpoint import Checkpoint, Pinned, Progress
from services.gateway.clients import Services
from services.gateway.conversation import Execute, Finish, Generate, Message
from services.gateway.errors import NotApproved
from services.gateway.exports import HTML, rendered
from services.gateway.files import FileStore
from services.gateway.granting import Granting
from services.gateway.handover import HandOver
from services.gateway.journal import Journal
from services.gateway.leases import LEASE_S, LeaseLost
from services.gateway.live import Live
from services.gateway.plan import Plan
from services.gateway.prompt import with_history
from services.gateway.record import Transcript
from services.gateway.registry import Registry
from services.gateway.report import report
from services.gateway.source import Source
from services.gateway.store.tables import ConversationRow, RunRow, now_ms
from services.gateway.talk import talk
from services.gateway.threads import Threads
from services.gateway.writeback import Writeback, notice_of

CLEANUP_S = 8.0
# of pictures in a report's page
REPORT_BYTES = 32 * 1024 * 1024
_log = logs.get(__name__)


@dataclass(frozen=True)
class RunSettings:
    """What runs may do here."""

    agent_model: str
    max_runs: int
    chat_rows: int
    # the longest that a run may wait for approvals, in seconds
    approval_s: float
    # how long a run is a gateway's without being renewed, where there may be others
    lease_s: float = LEASE_S
    # how long a gateway that stops waits for its runs to come to a step at which another goes on
    hand_over_s: float = 30.0
    # what the model saw and wrote, beside the events
    keep_conversations: bool = True


class HandedOver(Exception):
    """The run goes on with another gateway."""


class Work:
    """What all runs are done with."""

    def __init__(
        self,
        database: Database,
        services: Services,
        files: FileStore,
        threads: Threads,
        journal: Journal,
        settings: RunSettings,
        statuses: StatusTable,
        writeback: Writeback,
        usage: Usage,
        registry: Registry,
        hand_over: HandOver,
    ) -> None:
        self._hand_over = hand_over
        self._database = database
        self._services = services
        self._files = files
        self._threads = threads
        self._journal = journal
        self._settings = settings
        self._statuses = statuses
        self._writeback = writeback
        self._usage = usage
        self._granting = Granting(services, registry, writeback, settings.approval_s)

    async def run(
        self,
        caller: Caller,
        plan: Plan,
        live: Live,
        waits: Approvals,
        model: str,
        sources: list[Source],
    ) -> None:
        """To its end, whatever happens: the last event says how it ended."""
        analysis = self._analysis(caller, plan, live, waits, model)
        await self._driven(analysis, self._analyse(analysis, sources))

    async def resume(self, at: Checkpoint, live: Live, waits: Approvals) -> None:
        """A run that another gateway left, from there to its end."""
        analysis = self._analysis(at.caller, at.plan, live, waits, at.model, at.progress)
        await self._driven(analysis, self._resumed(analysis, at))

    def _analysis(
        self,
        caller: Caller,
        plan: Plan,
        live: Live,
        waits: Approvals,
        model: str,
        before: Progress | None = None,
    ) -> Analysis:
        return Analysis(
            caller=caller,
            plan=plan,
            run_id=live.run_id,
            thread_id=plan.thread_id,
            model=model,
            chosen=[],
            live=live,
            services=self._services,
            files=self._files,
            chat_rows=self._settings.chat_rows,
            approvals=waits,
            at_step=self._at_step,
            before=before,
        )

    async def _driven(self, analysis: Analysis, work: Coroutine[Any, Any, None]) -> None:
        live = analysis.live
        try:
            await work
        except HandedOver:
            _log.info("run_handed_over", run_id=live.run_id)
        except asyncio.CancelledError:
            self._stopped(analysis)
        except BaseException as failed:
            self._failed(analysis, failed)
        finally:
            # what is another's now is closed by whoever tells its end
            if not live.moved:
                await to_its_end(self._end(analysis))

    def _stopped(self, analysis: Analysis) -> None:
        usage = analysis.usage.message()
        if not analysis.live.cut:
            analysis.live.emit(cancelled=analyst.RunCancelled(usage=usage))
            return
        failed = interrupted.failure(analysis.run_id)
        failed.usage.CopyFrom(usage)
        analysis.live.emit(failed=failed)

    # From one gateway to another

    async def _at_step(self, analysis: Analysis, step: Generate | Execute) -> None:
        """Leave the run to another gateway when this one stops. Raises `HandedOver`."""
        if not self._hand_over.is_leaving:
            return
        at = Checkpoint(
            caller=analysis.caller,
            plan=analysis.plan,
            model=analysis.model,
            sources=tuple(Pinned(each.source.id, each.source.version) for each in analysis.chosen),
            request_id=context.request_id(),
            progress=analysis.progress(step),
            trace=tracing.carried(),
        )
        run_id = analysis.run_id
        leaving = self._journal.leave(
            analysis.live, lambda session: self._hand_over.leave(session, run_id, at)
        )
        try:
            await to_its_end(leaving)
        except LeaseLost:
            self._journal.forget(analysis.live)
        except (SQLAlchemyError, OSError) as failed:
            # it goes on here for as long as it may
            _log.warning("run_not_handed_over", run_id=run_id, error=type(failed).__name__)
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from failed
            return
        raise HandedOver(run_id)

    async def _resumed(self, analysis: Analysis, at: Checkpoint) -> None:
        if (before := at.progress) is None:
            await self._analyse(analysis, await self._granting.sources(at))
            return
        pairs = await self._granting.still_there(analysis, at)
        analysis.plan = replace(at.plan, selections=tuple(each for each, _ in pairs))
        await self._granting.grant(analysis, [source for _, source in pairs])
        await analysis.reopen(before.session_id)
        await self._answered(analysis, await analysis.go_on(before.step))

    # From its data to its answer

    async def _analyse(self, analysis: Analysis, sources: list[Source]) -> None:
        if analysis.plan.is_plain:
            await self._mark(analysis.run_id, state="working")
            self._completed(analysis, await talk(analysis), [])
            return
        analysis.plan = await self._with_history(analysis.plan, analysis.caller)
        await self._granting.grant(analysis, sources)
        await analysis.open()
        files = await analysis.fetch()
        await self._mark(analysis.run_id, state="working")
        finish = await analysis.work(files)
        await self._answered(analysis, finish)

    async def _with_history(self, plan: Plan, caller: Caller) -> Plan:
        """The plan, with what the thread said before."""
        _, said = await self._threads.get(caller.owner, plan.thread_id)
        earlier = [Message(each.role, each.content) for each in said]  # type: ignore[arg-type]
        return replace(plan, messages=tuple(with_history(plan.messages, earlier)))

    async def _answered(self, analysis: Analysis, finish: Finish) -> None:
        kept = await self._files.of_run(analysis.run_id)
        question = analysis.plan.messages[-1].content
        text = report(question, finish.answer, analysis.live.steps, kept)
        figures = await self._files.whole(analysis.caller.owner, _pictures(kept))
        page = await asyncio.to_thread(rendered, text, kept, figures)
        reports = [
            await analysis.keep_whole("report.md", text.encode(), "text/markdown"),
            await analysis.keep_whole("report.html", page, HTML),
        ]
        for each in reports:
            analysis.tell_artifact(analysis.usage.rounds, each)
        analysis.tell_links(reports)
        await self._threads.said(analysis.thread_id, question, finish.answer)
        files = [*kept, *reports]
        self._completed(analysis, finish, files, await self._written(analysis, files))

    async def _written(
        self, analysis: Analysis, files: list[analyst.FileInfo]
    ) -> list[analyst.WrittenArtifact]:
        """What `artifacts_to` asked for; its faults are told and cost no answer."""
        wanted = analysis.plan.artifacts_to
        if wanted is None:
            return []
        ids = {"run_id": analysis.run_id, "thread_id": analysis.thread_id}
        target = analysis.target
        assert target is not None
        try:
            await analysis.may_write(wanted, target.source, target.folder)
            written = await self._writeback.write(analysis.caller, wanted, files, **ids)
        except NotApproved as refused:
            written = self._writeback.refused(wanted, files, **ids, why=refused)
        if notice := notice_of(written):
            analysis.live.emit(notice=analyst.Notice(text=notice))
        return written

    def _completed(
        self,
        analysis: Analysis,
        finish: Finish,
        files: Sequence[analyst.FileInfo],
        written: Sequence[analyst.WrittenArtifact] = (),
    ) -> None:
        analysis.live.emit(
            completed=analyst.RunCompleted(
                answer=finish.answer,
                usage=analysis.usage.message(),
                finish=finish.why,
                files=files,
                written=written,
            )
        )

    def _failed(self, analysis: Analysis, failed: BaseException) -> None:
        ending = outcome(_first(failed), self._statuses, context.request_id())
        if not ending.known:
            _log.exception("run_failed", run_id=analysis.run_id)
        analysis.live.emit(failed=_run_failed(ending, analysis))

    async def _end(self, analysis: Analysis) -> None:
        """Write the last events, say how the run stands, and close what it opened."""
        try:
            await self._told(analysis)
        except LeaseLost:
            _log.warning("run_lost", run_id=analysis.run_id)
            return
        finally:
            analysis.live.settled.set()
            self._journal.forget(analysis.live)
        with contextlib.suppress(Fault, TimeoutError):
            async with asyncio.timeout(CLEANUP_S):
                await analysis.close()
                if analysis.chosen or analysis.plan.artifacts_to:
                    await self._granting.revoke(analysis.run_id)

    async def _told(self, analysis: Analysis) -> None:
        last = analysis.live.steps[-1]
        conversation = None
        if self._settings.keep_conversations:
            conversation = await asyncio.to_thread(_conversation, analysis, last)
        await self._journal.end(
            analysis.live,
            conversation,
            state=_state(last),
            ended_ms=now_ms(),
            usage=analysis.usage.message().SerializeToString(),
            error_reason=last.failed.reason,
            error_message=last.failed.message,
        )
        await self._usage.add(analysis.caller, _used(analysis.usage.message()))

    async def _mark(self, run_id: str, **values: object) -> None:
        """Unless somebody told its end meanwhile."""
        going = update(RunRow).where(RunRow.id == run_id, RunRow.ended_ms.is_(None))
        async with self._database.begin() as session:
            await session.execute(going.values(**values))


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for what must not be cut, however often the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


def _state(last: analyst.Event) -> str:
    cut = last.failed.reason == "RUN_INTERRUPTED"
    return "interrupted" if cut else str(last.WhichOneof("event"))


def _conversation(analysis: Analysis, last: analyst.Event) -> ConversationRow:
    transcript = Transcript(
        question=analysis.plan.messages[-1].content,
        sources=[(each.name, each.type) for each in analysis.sources()],
        messages=tuple(analysis.conversation.messages),
    )
    return conversations.row_of(
        analysis.run_id,
        transcript,
        ended_by=last.completed.finish,
        cut=analysis.asking.so_far().told,
    )


def _used(usage: analyst.RunUsage) -> Used:
    return Used(
        runs=1,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        rows=usage.fetched_rows,
        bytes=usage.fetched_bytes,
        run_ms=usage.elapsed.ToMilliseconds(),
    )


def _pictures(files: Sequence[analyst.FileInfo]) -> list[str]:
    """What a report holds: the first of them, up to a size that a browser opens."""
    found, left = [], REPORT_BYTES
    for file in files:
        if file.media_type.startswith("image/") and file.size_bytes <= left:
            found.append(file.id)
            left -= file.size_bytes
    return found


def _first(error: BaseException) -> BaseException:
    """Of a group, the first member: the others are its consequences."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _run_failed(told: Outcome, analysis: Analysis) -> analyst.RunFailed:
    fields = dict(told.fields)
    if told.retry_after_s is not None:
        fields["retry_after_s"] = f"{told.retry_after_s:g}"
    return analyst.RunFailed(
        reason=told.reason,
        message=told.message,
        remedy=fields.pop("remedy", ""),
        metadata=fields,
        usage=analysis.usage.message(),
        code=told.code.value[0],
    )
