"""Runs: each a task of its own, which its watchers follow and anyone of its owner may cancel,
whichever gateway it goes with."""

import asyncio
import secrets
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import IntegrityError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import context, logs, tracing
from servicekit.sql import Database
from servicekit.status import Fault, StatusTable
from services.gateway import approvals, metrics
from services.gateway.access.usage import Usage
from services.gateway.admission import Admission, busy
from services.gateway.approvals import Approvals, Decision
from services.gateway.attendance import Attendance
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.checkpoint import Checkpoint, Pinned
from services.gateway.clients import Services
from services.gateway.commands import CANCEL, Command, Commands
from services.gateway.conversations import Conversations
from services.gateway.data import Grants
from services.gateway.errors import Conflict, TooBusy
from services.gateway.exports import Document, Figures, shown
from services.gateway.files import FileStore
from services.gateway.handover import HandOver, Taken
from services.gateway.interrupted import Interrupted
from services.gateway.journal import Journal
from services.gateway.leases import Leases
from services.gateway.live import Live
from services.gateway.news import LOOK_S, News
from services.gateway.observed import observed
from services.gateway.plan import Plan
from services.gateway.records import Records
from services.gateway.registry import Registry
from services.gateway.repeating import repeating
from services.gateway.source import Source
from services.gateway.threads import Threads
from services.gateway.working import CLEANUP_S, RunSettings, Work
from services.gateway.writeback import Writeback

Exporter = Callable[[str, Sequence[analyst.Event], Figures], Document]
_log = logs.get(__name__)


@dataclass
class _Going:
    """A run that goes here."""

    live: Live
    approvals: Approvals
    task: asyncio.Task[None]


class Runs:
    """Starts, follows and stops runs. `at_work` keeps those that go."""

    def __init__(
        self,
        database: Database,
        services: Services,
        registry: Registry,
        files: FileStore,
        threads: Threads,
        settings: RunSettings,
        statuses: StatusTable,
        writeback: Writeback,
        usage: Usage,
        audit: Audit,
        draining: asyncio.Event,
    ) -> None:
        self._draining = draining
        self._files = files
        self._threads = threads
        self._settings = settings
        self._audit = audit
        self._leases = Leases(database, self._lost, lease_s=settings.lease_s)
        self._news = News(database)
        self._journal = Journal(database, self._leases, self._news)
        self._commands = Commands(database, self._journal, lambda: self._going, self._act)
        keeps = settings.keep_conversations
        self._interrupted = Interrupted(database, keep_conversations=keeps)
        self._hand_over = HandOver(database, self._leases, draining, self._room, self._take_up)
        self._records = Records(database, self._journal)
        self._admission = Admission(
            database,
            self._leases,
            self._hand_over,
            services,
            registry,
            files,
            writeback,
            usage,
            settings.agent_model,
        )
        self._grants = Grants(services)
        self._work = Work(
            database,
            services,
            files,
            threads,
            self._journal,
            settings,
            statuses,
            writeback,
            usage,
            registry,
            self._hand_over,
        )
        self._going: dict[str, _Going] = {}
        # when runs that are not left by then are cut, by the loop's clock
        self._leave_by = 0.0
        # the run that each thread is busy with, here
        self._busy_threads: dict[str, str] = {}
        metrics.tell_runs(
            going=lambda: len(self._going),
            waiting=lambda: self._journal.waiting,
            most=settings.max_runs,
        )
        self.attended = Attendance(lambda: self._hand_over.is_leaving).attended
        # what is asked of a run
        self.models = self._admission.models
        self.get = self._records.get
        self.request = self._records.request
        self.delete = self._records.delete
        self.ended = self._records.ended
        self.page = self._records.page
        self.conversation = Conversations(database, self._records).get

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Tells runs that were left over their end, and serves; on leaving, what still goes is
        cancelled and waited for."""
        await self._interrupted.at_start()
        async with AsyncExitStack() as stack:
            if self._leases.is_shared:
                await stack.enter_async_context(self._beside_others())
            stack.push_async_callback(self.aclose)
            yield

    @asynccontextmanager
    async def _beside_others(self) -> AsyncIterator[None]:
        lease_s = self._leases.lease_s
        every = (
            (LOOK_S, self._news.look, "looking for news"),
            (LOOK_S, self._commands.look, "looking for commands"),
            (LOOK_S, self._hand_over.look, "looking for runs to go on with"),
            (lease_s / 2, self._sweep, "looking for runs that were left"),
        )
        kept = [self._leases.keep(), self._news.follow(), self._commands.follow()]
        kept += [self._hand_over.follow(), self._note_draining()]
        kept += [repeating(seconds, act, name) for seconds, act, name in every]
        tasks = [asyncio.create_task(each) for each in kept]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _note_draining(self) -> None:
        await self._draining.wait()
        self._leave_by = asyncio.get_running_loop().time() + self._settings.hand_over_s

    async def _sweep(self) -> None:
        """Tell runs that nobody goes with their end, and take back what they were granted."""
        for run_id in await self._interrupted.sweep():
            with suppress(Fault):
                await self._grants.revoke_run(run_id)

    async def aclose(self) -> None:
        """Wait for runs that are to be left to another gateway, cancel what still goes, and wait
        for that."""
        tasks = [each.task for each in self._going.values()]
        if tasks and self._hand_over.is_leaving:
            left_s = self._leave_by - asyncio.get_running_loop().time()
            await asyncio.wait(tasks, timeout=max(0.0, left_s))
        for each in self._going.values():
            each.live.cut = self._hand_over.is_leaving
            each.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._journal.aclose()

    async def start(self, caller: Caller, plan: Plan) -> str:
        """Begin a run, and give its id; the same idempotency key gives the same run.

        Raises `SourceNotFound`, `NotFound` (model, thread, file), `InvalidField` (also for a key
        that came with another question), `Conflict`, `TooBusy`, `QuotaExceeded`; nothing is kept
        then.
        """
        if known := await self._admission.known(caller, plan):
            return known
        leaving = self._hand_over.is_leaving
        if not leaving and self._room() <= 0:
            metrics.REFUSED.inc()
            raise TooBusy(self._settings.max_runs)
        plan, model, sources = await self._admission.admitted(caller, plan)
        run_id = "run-" + secrets.token_hex(12)
        thread_id = "" if plan.is_plain else await self._threads.take(caller.owner, plan)
        going = replace(plan, thread_id=thread_id)
        if thread_id:
            await self._free(thread_id)
            self._busy_threads[thread_id] = run_id
        try:
            at = _at_its_start(caller, going, model, sources) if leaving else None
            since = await self._admission.insert(caller, plan, run_id, thread_id, model, at)
        except BaseException as failed:
            self._busy_threads.pop(thread_id, None)
            if isinstance(failed, Exception) and not plan.thread_id:
                await self._threads.forget(thread_id)
            if isinstance(failed, IntegrityError):
                return await self._admission.taken(caller, plan, thread_id, failed)
            raise
        if leaving:
            self._busy_threads.pop(thread_id, None)
            return run_id
        self._leases.hold(run_id, since)
        live = self._journal.open(Live(run_id, caller.owner))
        waits = Approvals(live, seconds=self._settings.approval_s)
        work = partial(self._work.run, caller, going, live, waits, model, sources)
        self._launch(going, live, waits, work)
        return run_id

    def _room(self) -> int:
        return self._settings.max_runs - len(self._going)

    async def _free(self, thread_id: str) -> None:
        """Wait for a run that has told its end and only tidies up. Raises `Conflict`."""
        while run_id := self._busy_threads.get(thread_id):
            going = self._going.get(run_id)
            if going is None or not going.live.ended:
                raise busy(thread_id)
            await asyncio.wait({going.task})

    async def _take_up(self, taken: Taken) -> None:
        """Go on with a run that another gateway left."""
        at, run_id = taken.checkpoint, taken.run_id
        events = await self._journal.so_far(run_id)
        live = self._journal.open(Live.resumed(run_id, at.caller.owner, events))
        before = at.progress
        waits = Approvals(
            live,
            seconds=self._settings.approval_s,
            waited_s=before.used.waited_s if before else 0.0,
            granted=before.granted if before else (),
        )
        if at.plan.thread_id:
            self._busy_threads[at.plan.thread_id] = run_id
        with context.entered_request(at.request_id), tracing.continued(at.trace):
            context.tell(user=at.caller.owner)
            self._launch(at.plan, live, waits, partial(self._work.resume, at, live, waits))
        _log.info("run_taken_up", run_id=run_id, sequence=live.told)

    def _launch(
        self, plan: Plan, live: Live, waits: Approvals, work: Callable[[], Awaitable[None]]
    ) -> None:
        run_id = live.run_id
        task = asyncio.create_task(observed(work, live, plan), name=f"run {run_id}")
        self._going[run_id] = _Going(live, waits, task)
        task.add_done_callback(lambda _: self._done(run_id, plan.thread_id))

    def _done(self, run_id: str, thread_id: str) -> None:
        self._going.pop(run_id, None)
        self._leases.forget(run_id)
        if self._busy_threads.get(thread_id) == run_id:
            del self._busy_threads[thread_id]

    def _lost(self, run_id: str) -> None:
        """Stop a run that is not ours any more: whoever takes it tells its end."""
        going = self._going.get(run_id)
        if going is not None and not going.live.ended:
            self._journal.forget(going.live)
            going.task.cancel()

    async def watch(
        self, owner: str, run_id: str, after: int = 0
    ) -> AsyncGenerator[analyst.Event, None]:
        """The run's events above `after`, followed to its end. Raises `NotFound`."""
        async with aclosing(self.batches(owner, run_id, after)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(
        self, owner: str, run_id: str, after: int = 0, *, beat_s: float | None = None
    ) -> AsyncGenerator[Sequence[analyst.Event], None]:
        """The same, as many at a time as there are, and an empty batch for each `beat_s` without
        one. Raises `NotFound`."""
        live = self._journal.going(run_id)
        if live is None or live.owner != owner:
            await self._records.require(owner, run_id)
        async with aclosing(self._journal.batches(run_id, after, beat_s=beat_s)) as batches:
            async for batch in batches:
                if live is not None and live.ended and self._leases.is_shared:
                    # who hears of the end may ask another gateway how the run stands
                    with suppress(TimeoutError):
                        async with asyncio.timeout(CLEANUP_S):
                            await live.settled.wait()
                yield batch

    async def so_far(self, owner: str, run_id: str) -> Sequence[analyst.Event]:
        """The run's events by now. Raises `NotFound`."""
        await self._records.require(owner, run_id)
        return await self._journal.so_far(run_id)

    async def cancel(self, owner: str, run_id: str) -> analyst.Run:
        """Stop a run, and say how it stands. Raises `NotFound`, `HolderLost`."""
        await self._records.require(owner, run_id)
        if (going := self._going.get(run_id)) is not None:
            going.task.cancel()
            await asyncio.wait({going.task}, timeout=CLEANUP_S)
        if (going is None or going.live.moved) and self._leases.is_shared:
            await self._commands.cancel(run_id)
        return await self.get(owner, run_id)

    async def approvals(self, owner: str, run_id: str) -> list[analyst.Approval]:
        """What a run needed or needs an approval for, oldest first. Raises `NotFound`."""
        return approvals.listed(await self.so_far(owner, run_id))

    async def decide(
        self, caller: Caller, run_id: str, approval_id: str, decision: Decision
    ) -> analyst.Approval:
        """A person's word on what a run waits for; without an id, on the only thing. The same
        decision again is none. Raises `NotFound`, `InvalidField`, `Conflict`, `HolderLost`."""
        events = await self.so_far(caller.owner, run_id)
        asked = approvals.meant(approvals.listed(events), approval_id)
        if not approvals.require_undecided(asked, decision):
            return asked
        going, id = self._going.get(run_id), asked.requested.approval_id
        if going is None and not self._leases.is_shared:
            raise _over(run_id)
        word = "approve" if decision.approved else "refuse"
        await self._audit.write(caller, word, asked.requested.source_id, f"{run_id} {id}")
        if going is not None:
            decided = going.approvals.decide(id, decision, caller.key_id)
        else:
            decided = await self._decided_elsewhere(caller, asked, decision, events[-1])
        now = Timestamp()
        now.GetCurrentTime()
        asked.MergeFrom(analyst.Approval(decided=decided, decided_at=now))
        return asked

    async def _decided_elsewhere(
        self, caller: Caller, asked: analyst.Approval, decision: Decision, last: analyst.Event
    ) -> analyst.ApprovalDecided:
        body = {**decision.as_dict(), "by": caller.key_id}
        id = asked.requested.approval_id
        decided = await self._commands.decide(last.run_id, last.sequence, id, body)
        if decided is None:
            raise _over(last.run_id)
        approvals.require_undecided(analyst.Approval(decided=decided), decision)
        return decided

    def _act(self, command: Command) -> None:
        """What another gateway asks of a run that goes here."""
        going = self._going.get(command.run_id)
        if going is None:
            return  # its end is what tells the one who asked
        if command.kind == CANCEL:
            going.task.cancel()
            return
        body = dict(command.body)
        by, id = body.pop("by"), body.pop("approval_id")
        try:
            going.approvals.decide(id, Decision(**body), by)
        except Conflict as late:
            # the event that tells how it was decided is what the asker waits for
            _log.info("decided_before", run_id=command.run_id, error=str(late))

    async def export(self, owner: str, run_id: str, make: Exporter) -> Document:
        """A run that has ended, as one document. Raises `NotFound`, `Conflict`."""
        await self.ended(owner, run_id)
        events = await self._journal.so_far(run_id)
        figures = await self._files.whole(owner, shown(events))
        return await asyncio.to_thread(make, run_id, events, figures)


def _at_its_start(caller: Caller, plan: Plan, model: str, sources: Sequence[Source]) -> Checkpoint:
    """Of a run of which nothing was begun."""
    pinned = tuple(Pinned(each.id, each.version) for each in sources)
    trace = tracing.carried()
    return Checkpoint(caller, plan, model, pinned, context.request_id(), trace=trace)


def _over(run_id: str) -> Conflict:
    return Conflict("run", run_id, "the run has ended", remedy="Ask again.")
