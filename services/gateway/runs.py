"""Runs: each a task of its own, which its watchers follow and anyone of its owner may cancel."""

import asyncio
import secrets
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from servicekit.status import InvalidField, StatusTable
from services.gateway import approvals, metrics
from services.gateway.access.quotas import require_room
from services.gateway.access.usage import Usage
from services.gateway.approvals import Approvals, Decision
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.clients import Services
from services.gateway.errors import Conflict, NotFound, TooBusy
from services.gateway.exports import Document, Figures, shown
from services.gateway.files import FileStore
from services.gateway.journal import Journal
from services.gateway.observed import observed
from services.gateway.pages import Page, page_size
from services.gateway.plan import PLAIN, Plan
from services.gateway.registry import Registry
from services.gateway.source import Source
from services.gateway.store.newest import newest_first, token_behind
from services.gateway.store.tables import EventRow, RunRow, now_ms
from services.gateway.threads import Threads
from services.gateway.working import CLEANUP_S, RunSettings, Work
from services.gateway.writeback import Writeback

# a day, as long as OpenAI's clients and others may expect
KEY_LIFETIME_MS = 24 * 60 * 60 * 1000
Exporter = Callable[[str, Sequence[analyst.Event], Figures], Document]


class Runs:
    """Starts, follows and stops runs. `aclose` cancels those that still go."""

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
    ) -> None:
        self._database = database
        self._services = services
        self._registry = registry
        self._files = files
        self._threads = threads
        self._settings = settings
        self._writeback = writeback
        self._usage = usage
        self._audit = audit
        # what each run that goes waits for
        self._approvals: dict[str, Approvals] = {}
        # how many requests wait for the answer of a run
        self._attending: Counter[str] = Counter()
        # how many runs each caller has going
        self._going: Counter[str] = Counter()
        self._journal = Journal(database)
        self._work = Work(
            database, services, files, threads, self._journal, settings, statuses, writeback, usage
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # the run that each busy thread is busy with
        self._busy_threads: dict[str, str] = {}
        metrics.tell_runs(
            going=lambda: len(self._tasks),
            waiting=lambda: self._journal.waiting,
            most=settings.max_runs,
        )

    async def recover(self) -> int:
        """After a crash: end the runs that it cut off."""
        return await self._journal.interrupt_left_over()

    async def aclose(self) -> None:
        """Cancel what still goes, and wait for it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._journal.aclose()

    async def models(self) -> list[analyst.ChatModel]:
        """The agent under its own name and each model's, and each model without the agent."""
        listed = await self._services.models.list_models()
        agent = self._settings.agent_model
        found = {agent: analyst.ChatModel(id=agent, is_agent=True, description="the analyst")}
        for model in listed:
            for id, is_agent in ((model.id, True), (model.id + PLAIN, False)):
                told = analyst.ChatModel(id=id, is_agent=is_agent, description=model.description)
                found.setdefault(id, told)
        return list(found.values())

    async def start(self, caller: Caller, plan: Plan) -> str:
        """Begin a run, and give its id; the same idempotency key gives the same run.

        Raises `SourceNotFound`, `NotFound` (model, thread, file), `InvalidField` (also for a key
        that came with another question), `Conflict`, `TooBusy`, `QuotaExceeded`; nothing is kept
        then.
        """
        if known := await self._known(caller, plan):
            return known
        if len(self._tasks) >= self._settings.max_runs:
            metrics.REFUSED.inc()
            raise TooBusy(self._settings.max_runs)
        require_room(caller.quota, self._going[caller.key_id])
        plan = plan.within(await self._usage.require_left(caller))
        model = await self._model(plan.model)
        sources = await self._sources(caller, plan)
        if plan.artifacts_to:
            await self._writeback.require(caller, plan.artifacts_to)
        for id in plan.file_ids:
            await self._files.get(caller.owner, id, field="file_ids")
        run_id = "run-" + secrets.token_hex(12)
        thread_id = "" if plan.is_plain else await self._threads.take(caller.owner, plan)
        if thread_id:
            await self._free(thread_id)
            self._busy_threads[thread_id] = run_id
        try:
            await self._insert(caller, plan, run_id, thread_id, model)
        except IntegrityError as twice:
            self._busy_threads.pop(thread_id, None)
            if not plan.thread_id:
                await self._threads.forget(thread_id)
            if known := await self._known(caller, plan):
                return known
            raise Conflict("run", plan.idempotency_key, "this key is being used") from twice
        except BaseException:
            self._busy_threads.pop(thread_id, None)
            raise
        self._launch(caller, replace(plan, thread_id=thread_id), run_id, model, sources)
        return run_id

    async def _free(self, thread_id: str) -> None:
        """Wait for a run that has told its end and only tidies up. Raises `Conflict`."""
        while run_id := self._busy_threads.get(thread_id):
            live, task = self._journal.going(run_id), self._tasks.get(run_id)
            if task is None or (live is not None and not live.ended):
                message = "a run of this thread is going"
                raise Conflict("thread", thread_id, message, remedy="Wait for it, or cancel it.")
            await asyncio.wait({task})

    def _launch(
        self, caller: Caller, plan: Plan, run_id: str, model: str, sources: list[Source]
    ) -> None:
        live = self._journal.open(run_id, caller.owner)
        waits = self._approvals[run_id] = Approvals(live, seconds=self._settings.approval_s)
        work = partial(self._work.run, caller, plan, live, waits, model, sources)
        task = asyncio.create_task(observed(work, live, plan), name=f"run {run_id}")
        self._tasks[run_id] = task
        self._going[caller.key_id] += 1
        task.add_done_callback(lambda _: self._done(caller, run_id, plan.thread_id))

    def _done(self, caller: Caller, run_id: str, thread_id: str) -> None:
        self._tasks.pop(run_id, None)
        self._approvals.pop(run_id, None)
        self._going[caller.key_id] -= 1
        self._busy_threads.pop(thread_id, None)

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
            await self._row(owner, run_id)
        async with aclosing(self._journal.batches(run_id, after, beat_s=beat_s)) as batches:
            async for batch in batches:
                yield batch

    @contextmanager
    def attended(self, run_id: str) -> Iterator[Callable[[], bool]]:
        """While a request waits for the answer of a run; gives whether it is the only one that
        does. With an idempotency key there may be several."""
        self._attending[run_id] += 1
        try:
            yield lambda: self._attending[run_id] == 1
        finally:
            self._attending[run_id] -= 1
            if not self._attending[run_id]:
                del self._attending[run_id]

    async def so_far(self, owner: str, run_id: str) -> Sequence[analyst.Event]:
        """The run's events by now. Raises `NotFound`."""
        await self._row(owner, run_id)
        return await self._journal.so_far(run_id)

    async def cancel(self, owner: str, run_id: str) -> analyst.Run:
        """Stop a run, and say how it stands. Raises `NotFound`."""
        await self._row(owner, run_id)
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=CLEANUP_S)
        return await self.get(owner, run_id)

    async def approvals(self, owner: str, run_id: str) -> list[analyst.Approval]:
        """What a run needed or needs an approval for, oldest first. Raises `NotFound`."""
        return approvals.listed(await self.so_far(owner, run_id))

    async def decide(
        self, caller: Caller, run_id: str, approval_id: str, decision: Decision
    ) -> analyst.Approval:
        """A person's word on what a run waits for; without an id, on the only thing. The same
        decision again is none. Raises `NotFound`, `InvalidField`, `Conflict`."""
        asked = approvals.meant(await self.approvals(caller.owner, run_id), approval_id)
        if not approvals.require_undecided(asked, decision):
            return asked
        going, id = self._approvals.get(run_id), asked.requested.approval_id
        if going is None:
            raise Conflict("run", run_id, "the run has ended", remedy="Ask again.")
        word = "approve" if decision.approved else "refuse"
        await self._audit.write(caller, word, asked.requested.source_id, f"{run_id} {id}")
        decided = going.decide(id, decision, caller.key_id)
        now = Timestamp()
        now.GetCurrentTime()
        asked.MergeFrom(analyst.Approval(decided=decided, decided_at=now))
        return asked

    async def get(self, owner: str, run_id: str) -> analyst.Run:
        """How a run stands. Raises `NotFound`."""
        live = self._journal.going(run_id)
        if live is not None and live.ended:
            await live.settled.wait()
        (run,) = await self._shown([await self._row(owner, run_id)])
        return run

    async def _shown(self, rows: Sequence[RunRow]) -> list[analyst.Run]:
        going = [row.id for row in rows if row.ended_ms is None]
        last = await self._journal.last_sequences(going)
        return [_run(row, last.get(row.id, row.last_sequence)) for row in rows]

    async def request(self, owner: str, run_id: str) -> str:
        """`Plan.request` of a run. Raises `NotFound`."""
        await self._row(owner, run_id)
        async with self._database.begin() as session:
            query = select(RunRow.request_json).where(RunRow.id == run_id)
            return await session.scalar(query) or ""

    async def delete(self, owner: str, run_id: str) -> None:
        """Forget a run that has ended, and its events; its files and what was said stay with its
        thread. Raises `NotFound`, `Conflict`."""
        await self.ended(owner, run_id)
        async with self._database.begin() as session:
            await session.execute(delete(EventRow).where(EventRow.run_id == run_id))
            await session.execute(delete(RunRow).where(RunRow.id == run_id))

    async def ended(self, owner: str, run_id: str) -> analyst.Run:
        """A run that has ended. Raises `NotFound`, `Conflict`."""
        run = await self.get(owner, run_id)
        if not run.HasField("ended_at"):
            message, remedy = "this run has not ended yet", "Wait for it, or cancel it."
            raise Conflict("run", run_id, message, remedy=remedy)
        return run

    async def export(self, owner: str, run_id: str, make: Exporter) -> Document:
        """A run that has ended, as one document. Raises `NotFound`, `Conflict`."""
        await self.ended(owner, run_id)
        events = [event async for event in self._journal.watch(run_id)]
        figures = await self._files.whole(owner, shown(events))
        return await asyncio.to_thread(make, run_id, events, figures)

    async def page(
        self, owner: str, thread_id: str = "", size: int = 0, token: str = ""
    ) -> Page[analyst.Run]:
        """Runs, newest first."""
        size = page_size(size)
        query = select(RunRow).where(RunRow.owner == owner)
        if thread_id:
            query = query.where(RunRow.thread_id == thread_id)
        query = newest_first(query, RunRow, size, token)
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
        more = token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page(await self._shown(rows[:size]), more)

    # Before a run

    async def _known(self, caller: Caller, plan: Plan) -> str:
        """The run of the plan's idempotency key, or ""."""
        if not (key := plan.idempotency_key):
            return ""
        query = select(RunRow).where(RunRow.owner == caller.owner, RunRow.idempotency_key == key)
        async with self._database.begin() as session:
            row = await session.scalar(query)
            if row is not None and row.created_ms < now_ms() - KEY_LIFETIME_MS:
                row.idempotency_key, row = None, None
        if row is None:
            return ""
        if row.fingerprint not in ("", plan.fingerprint):
            raise InvalidField(
                "idempotency-key",
                "this Idempotency-Key came with another request before",
                remedy="Send the same request again, or a new key.",
            )
        return row.id

    async def _model(self, asked: str) -> str:
        """The inference service's own id for what was asked; empty for its default."""
        models = {each.id for each in await self.models()}
        if asked and asked not in models:
            remedy = f"Use one of: {', '.join(sorted(models))}."
            raise NotFound("model", asked, field="model", remedy=remedy)
        # the agent's own name is no model's, unless one is called the same
        own = asked.removesuffix(PLAIN)
        return own if own + PLAIN in models else ""

    async def _sources(self, caller: Caller, plan: Plan) -> list[Source]:
        asked = {
            "data_sources": plan.selections,
            "file_ids": plan.file_ids,
            "artifacts_to": plan.artifacts_to,
        }
        if plan.is_plain and (field := next((name for name in asked if asked[name]), "")):
            remedy = f"Ask {self._settings.agent_model}, or leave {field} out."
            raise InvalidField(field, f"{plan.model} works without data", remedy=remedy)
        found = [await self._registry.get(caller, each.source) for each in plan.selections]
        for number, (source, chosen) in enumerate(zip(found, plan.selections, strict=True)):
            if chosen.type and chosen.type != source.type:
                field = f"data_sources[{number}].type"
                raise InvalidField(field, f"{source.name} is of type {source.type}")
        return found

    async def _insert(
        self, caller: Caller, plan: Plan, run_id: str, thread_id: str, model: str
    ) -> None:
        row = RunRow(
            id=run_id,
            owner=caller.owner,
            thread_id=thread_id,
            model=plan.model or model,
            state="fetching",
            idempotency_key=plan.idempotency_key or None,
            fingerprint=plan.fingerprint if plan.idempotency_key else "",
            request_json=plan.request or None,
            created_ms=now_ms(),
            ended_ms=None,
            last_sequence=0,
            usage=b"",
            error_reason="",
            error_message="",
        )
        async with self._database.begin() as session:
            session.add(row)

    async def _row(self, owner: str, run_id: str) -> RunRow:
        async with self._database.begin() as session:
            row = await session.get(RunRow, run_id)
        if row is None or row.owner != owner:
            raise NotFound("run", run_id)
        return row


def _run(row: RunRow, last_sequence: int) -> analyst.Run:
    run = analyst.Run(
        run_id=row.id,
        thread_id=row.thread_id,
        model=row.model,
        state=f"RUN_STATE_{row.state.upper()}",
        created_at=_time(row.created_ms),
        last_sequence=last_sequence,
        usage=analyst.RunUsage.FromString(row.usage),
        error_reason=row.error_reason,
        error_message=row.error_message,
    )
    if row.ended_ms:
        run.ended_at.CopyFrom(_time(row.ended_ms))
    return run


def _time(ms: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp
