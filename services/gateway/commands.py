"""What one gateway asks of a run that goes with another one: a row, a signal, and the event that
tells of what became of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import logs
from servicekit.sql import Database
from services.gateway.errors import HolderLost
from services.gateway.journal import Journal
from services.gateway.store.tables import CommandRow, now_ms

CHANNEL = "gateway_run_commands"
CANCEL, DECIDE = "cancel", "decide"
# how long a holder that is well takes at most: a look at its commands, and its cleanup
ANSWER_S = 10.0
_log = logs.get(__name__)


@dataclass(frozen=True)
class Command:
    """As its holder gets it."""

    run_id: str
    kind: str
    body: Mapping[str, Any]


class Commands:
    """Asks other gateways, and does what they ask. `mine` = the runs that go here, `act` does a
    command to one of them."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        mine: Callable[[], Collection[str]],
        act: Callable[[Command], None],
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._database = database
        self._journal = journal
        self._mine = mine
        self._act = act
        self._answer_s = answer_s

    # Asking

    async def cancel(self, run_id: str) -> None:
        """Until the run has ended. Raises `HolderLost`; it is stopped then as soon as its gateway
        is back."""
        if await self._ask(Command(run_id, CANCEL, {})) is None:
            return
        async with self._answering(), aclosing(self._journal.batches(run_id, 2**62)) as batches:
            async for _ in batches:
                pass

    async def decide(
        self, run_id: str, after: int, approval_id: str, body: Mapping[str, Any]
    ) -> analyst.ApprovalDecided | None:
        """What was decided, by whomever, as the run's events above `after` tell; None = the run has
        ended. Raises `HolderLost`; nothing is decided then."""
        number = await self._ask(Command(run_id, DECIDE, {"approval_id": approval_id, **body}))
        if number is None:
            return None
        try:
            async with self._answering(), aclosing(self._journal.watch(run_id, after)) as events:
                async for event in events:
                    decided = event.approval_decided
                    if decided.approval_id == approval_id:
                        return decided
            return None
        except HolderLost:
            await self._withdraw(number)
            raise

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._answer_s):
                yield
        except TimeoutError as late:
            raise HolderLost from late

    async def _ask(self, command: Command) -> int | None:
        """The command's number; None = the run has ended."""
        row = {
            "run_id": command.run_id,
            "kind": command.kind,
            "body_json": json.dumps(dict(command.body)),
            "created_ms": now_ms(),
        }
        try:
            async with self._database.begin() as session:
                made = insert(CommandRow).values(row).returning(CommandRow.number)
                number = (await session.execute(made)).scalar_one()
                await self._database.signals.tell(session, CHANNEL, command.run_id)
        except IntegrityError:  # there is no lease any more
            return None
        return int(number)

    async def _withdraw(self, number: int) -> None:
        async with self._database.begin() as session:
            await session.execute(delete(CommandRow).where(CommandRow.number == number))

    # Doing

    async def follow(self) -> None:
        """Hear signals, until it is cancelled."""
        with self._database.signals.listening(CHANNEL) as told:
            async for run_id in told:
                if run_id is None or run_id in self._mine():
                    try:
                        await self.look()
                    except Exception as failed:
                        # the next look finds it
                        _log.warning("commands_not_read", error=type(failed).__name__)

    async def look(self) -> None:
        """Do what was asked of the runs that go here, each once and in order."""
        mine = list(self._mine())
        if not mine:
            return
        taken = delete(CommandRow).where(CommandRow.run_id.in_(mine)).returning(CommandRow)
        async with self._database.begin() as session:
            rows = (await session.scalars(taken)).all()
        for row in sorted(rows, key=lambda row: row.number):
            self._act(Command(row.run_id, row.kind, json.loads(row.body_json)))
