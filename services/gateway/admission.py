"""What is held before a run begins: its key, its model, its sources, and that there is room."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway.access.usage import Usage
from services.gateway.callers import Caller
from services.gateway.checkpoint import Checkpoint
from services.gateway.clients import Services
from services.gateway.errors import Conflict, NotFound
from services.gateway.files import FileStore
from services.gateway.handover import HandOver
from services.gateway.leases import Leases
from services.gateway.plan import PLAIN, Plan
from services.gateway.registry import Registry
from services.gateway.source import Source
from services.gateway.store.tables import LeaseRow, RunRow, now_ms
from services.gateway.writeback import Writeback

# a day, as long as OpenAI's clients and others may expect
KEY_LIFETIME_MS = 24 * 60 * 60 * 1000


class Admission:
    """Looks at plans, and makes the rows of those that may go."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        hand_over: HandOver,
        services: Services,
        registry: Registry,
        files: FileStore,
        writeback: Writeback,
        usage: Usage,
        agent_model: str,
    ) -> None:
        self._database = database
        self._leases = leases
        self._hand_over = hand_over
        self._services = services
        self._registry = registry
        self._files = files
        self._writeback = writeback
        self._usage = usage
        self._agent_model = agent_model

    async def models(self) -> list[analyst.ChatModel]:
        """The agent under its own name and each model's, and each model without the agent."""
        listed = await self._services.models.list_models()
        agent = self._agent_model
        found = {agent: analyst.ChatModel(id=agent, is_agent=True, description="the analyst")}
        for model in listed:
            for id, is_agent in ((model.id, True), (model.id + PLAIN, False)):
                told = analyst.ChatModel(id=id, is_agent=is_agent, description=model.description)
                found.setdefault(id, told)
        return list(found.values())

    async def admitted(self, caller: Caller, plan: Plan) -> tuple[Plan, str, list[Source]]:
        """The plan within what is left of the caller's quotas, the model's own id, and the source
        of each selection. Raises `SourceNotFound`, `NotFound`, `InvalidField`, `QuotaExceeded`."""
        if caller.quota.runs_at_once:
            async with self._database.begin() as session:
                await self._leases.require_room(session, caller)
        plan = plan.within(await self._usage.require_left(caller))
        model = await self._model(plan.model)
        sources = await self.sources(caller, plan)
        if plan.artifacts_to:
            await self._writeback.require(caller, plan.artifacts_to)
        for id in plan.file_ids:
            await self._files.get(caller.owner, id, field="file_ids")
        return plan, model, sources

    async def known(self, caller: Caller, plan: Plan) -> str:
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

    async def sources(self, caller: Caller, plan: Plan) -> list[Source]:
        """Of each selection. Raises `SourceNotFound`, `InvalidField`."""
        asked = {
            "data_sources": plan.selections,
            "file_ids": plan.file_ids,
            "artifacts_to": plan.artifacts_to,
        }
        if plan.is_plain and (field := next((name for name in asked if asked[name]), "")):
            remedy = f"Ask {self._agent_model}, or leave {field} out."
            raise InvalidField(field, f"{plan.model} works without data", remedy=remedy)
        found = [await self._registry.get(caller, each.source) for each in plan.selections]
        for number, (source, chosen) in enumerate(zip(found, plan.selections, strict=True)):
            if chosen.type and chosen.type != source.type:
                field = f"data_sources[{number}].type"
                raise InvalidField(field, f"{source.name} is of type {source.type}")
        return found

    async def insert(
        self,
        caller: Caller,
        plan: Plan,
        run_id: str,
        thread_id: str,
        model: str,
        at: Checkpoint | None = None,
    ) -> float:
        """The rows of a new run, whose lease is ours; since when. With a checkpoint it is left to
        whichever gateway takes it up. Raises `QuotaExceeded`, and IntegrityError where its
        idempotency key or its thread is taken."""
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
        since = self._leases.now()
        async with self._database.begin() as session:
            session.add(row)
            await session.flush()
            await self._leases.take(session, caller, run_id, thread_id)
            if at is not None:
                await self._hand_over.leave(session, run_id, at)
        return since

    async def taken(self, caller: Caller, plan: Plan, thread_id: str, twice: IntegrityError) -> str:
        """After `insert` found something taken: the run of the same key. Raises `Conflict`."""
        if known := await self.known(caller, plan):
            return known
        query = select(LeaseRow.run_id).where(LeaseRow.thread_id == thread_id)
        async with self._database.begin() as session:
            if not plan.idempotency_key or await session.scalar(query):
                raise busy(thread_id) from twice
        raise Conflict("run", plan.idempotency_key, "this key is being used") from twice


def busy(thread_id: str) -> Conflict:
    """Two runs of a thread would write over each other."""
    message = "a run of this thread is going"
    return Conflict("thread", thread_id, message, remedy="Wait for it, or cancel it.")
