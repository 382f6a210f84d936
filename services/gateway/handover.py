"""Runs that no gateway goes with for the moment: left by one that stops, taken up by another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from servicekit import logs
from servicekit.sql import Database
from services.gateway.checkpoint import Checkpoint
from services.gateway.leases import LeaseLost, Leases
from services.gateway.store.shared import clock_ms
from services.gateway.store.tables import LeaseRow

CHANNEL = "gateway_run_free"
# of all that are free, so that they spread over the gateways that hear of them at once
_AT_ONCE = 4
# so long a run waits to be taken up: a gateway that is started anew is back by then
WAIT_MS = 60_000
_log = logs.get(__name__)


@dataclass(frozen=True)
class Taken:
    """A run that goes here from now on; `since` by the clock of our leases."""

    run_id: str
    since: float
    checkpoint: Checkpoint


class HandOver:
    """Of one gateway, which leaves its runs from `draining` on. `room` = how many more may go here;
    `go_on` begins one."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        draining: asyncio.Event,
        room: Callable[[], int],
        go_on: Callable[[Taken], Awaitable[None]],
    ) -> None:
        self._database = database
        self._leases = leases
        self._draining = draining
        self._room = room
        self._go_on = go_on

    @property
    def is_leaving(self) -> bool:
        """Whether runs are to be left to others."""
        return self._leases.is_shared and self._draining.is_set()

    async def leave(self, session: AsyncSession, run_id: str, checkpoint: Checkpoint) -> None:
        """In the transaction that writes its last events from here. Raises `LeaseLost`."""
        ours = (LeaseRow.run_id == run_id, LeaseRow.holder == self._leases.holder)
        left = update(LeaseRow).where(*ours).returning(LeaseRow.run_id)
        left = left.values(holder="", ends_ms=clock_ms() + WAIT_MS, checkpoint=checkpoint.packed())
        if await session.scalar(left) is None:
            raise LeaseLost(run_id)
        await self.tell(session)

    async def tell(self, session: AsyncSession) -> None:
        """In the transaction that leaves a run to whoever takes it."""
        await self._database.signals.tell(session, CHANNEL, "")

    async def follow(self) -> None:
        """Hear signals, until it is cancelled."""
        with self._database.signals.listening(CHANNEL) as told:
            async for _ in told:
                try:
                    await self.look()
                except Exception as failed:
                    # the next look finds it
                    _log.warning("free_runs_not_read", error=type(failed).__name__)

    async def look(self) -> None:
        """Take up what is free, as far as there is room."""
        async for taken in self._taken():
            self._leases.hold(taken.run_id, taken.since)
            try:
                await self._go_on(taken)
            except Exception:
                # its lease ends, and whoever sees that tells its end
                self._leases.forget(taken.run_id)
                _log.exception("run_not_taken_up", run_id=taken.run_id)

    async def _taken(self) -> AsyncIterator[Taken]:
        while not self.is_leaving and (room := self._room()) > 0:
            some = await self._some(min(room, _AT_ONCE))
            for each in some:
                yield each
            if len(some) < _AT_ONCE:
                return

    async def _some(self, most: int) -> list[Taken]:
        free = (LeaseRow.holder == "", LeaseRow.ends_ms > clock_ms())
        query = select(LeaseRow).where(*free, LeaseRow.checkpoint.is_not(None))
        query = query.order_by(LeaseRow.ends_ms).limit(most).options(undefer(LeaseRow.checkpoint))
        since = self._leases.now()
        taken: list[Taken] = []
        async with self._database.begin() as session:
            for row in await session.scalars(query.with_for_update(skip_locked=True)):
                if (checkpoint := read(row)) is None:
                    continue
                row.holder, row.checkpoint = self._leases.holder, None
                row.ends_ms = clock_ms() + self._leases.duration_ms
                taken.append(Taken(row.run_id, since, checkpoint))
        return taken


def read(row: LeaseRow) -> Checkpoint | None:
    """What a gateway left there; None for what another release has written: it is left to a gateway
    of that one."""
    try:
        return Checkpoint.unpacked(row.checkpoint or b"")
    except (ValueError, KeyError, TypeError) as unknown:
        _log.warning("checkpoint_not_read", run_id=row.run_id, error=type(unknown).__name__)
        return None
