"""Which runs are this gateway's: each has a lease in the database, which is renewed while it goes.

Whose lease ends, because its gateway died or does not reach the database, is any other's to
interrupt (`interrupted`). So a gateway that cannot renew stops its runs before that, by a clock of
its own. In SQLite, which has no second gateway, leases have no end.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from servicekit import logs
from servicekit.sql import Database
from services.gateway.access.quotas import require_room
from services.gateway.callers import Caller
from services.gateway.store.shared import alone, clock_ms
from services.gateway.store.tables import LeaseRow

LEASE_S = 15.0
# of the lease: how long before its end a run is stopped that could not be renewed
_MARGIN = 0.2
_FOREVER_MS = 10 * 365 * 24 * 3600 * 1000
_log = logs.get(__name__)


class LeaseLost(Exception):
    """The run is no longer this gateway's."""


class Leases:
    """Of one gateway. `lost` is told of each run that is not its own any more."""

    def __init__(
        self,
        database: Database,
        lost: Callable[[str], None],
        *,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._lost = lost
        self._clock = clock
        self.lease_s = lease_s
        self.holder = "gateway-" + secrets.token_hex(12)
        # until when each run is surely ours, by our own clock
        self._until: dict[str, float] = {}

    @property
    def is_shared(self) -> bool:
        """Whether there may be other gateways."""
        return self._database.is_postgresql

    @property
    def duration_ms(self) -> int:
        """Of a lease that is made or renewed."""
        return int(self.lease_s * 1000) if self.is_shared else _FOREVER_MS

    # A run begins, and ends

    async def require_room(self, session: AsyncSession, caller: Caller) -> None:
        """Hold that one more of the caller's runs may go, beside those of all gateways. Raises
        `QuotaExceeded`."""
        if caller.quota.runs_at_once:
            query = select(func.count()).select_from(LeaseRow)
            going = await session.scalar(query.where(LeaseRow.key_id == caller.key_id))
            require_room(caller.quota, going or 0)

    async def take(
        self,
        session: AsyncSession,
        caller: Caller,
        run_id: str,
        thread_id: str,
    ) -> LeaseRow:
        """In the transaction that makes the run's row: it is ours from its end on, after `hold`.
        Raises `QuotaExceeded`, and IntegrityError where the thread has a run already."""
        if caller.quota.runs_at_once:
            await alone(session, f"runs of {caller.key_id}")
            await self.require_room(session, caller)
        row = LeaseRow(
            run_id=run_id,
            key_id=caller.key_id,
            thread_id=thread_id or None,
            holder=self.holder,
            ends_ms=clock_ms() + self.duration_ms,
            checkpoint=None,
        )
        session.add(row)
        await session.flush()
        return row

    def now(self) -> float:
        """By our own clock: to be asked before what is then given to `hold`."""
        return self._clock()

    def hold(self, run_id: str, since: float) -> None:
        """It was made or renewed no earlier than `since`."""
        self._until[run_id] = since + self.lease_s * (1 - _MARGIN)

    async def end(self, session: AsyncSession, run_id: str) -> None:
        """In the transaction that writes the run's end. Raises `LeaseLost`."""
        ours = (LeaseRow.run_id == run_id, LeaseRow.holder == self.holder)
        ended = await session.scalar(delete(LeaseRow).where(*ours).returning(LeaseRow.run_id))
        if ended is None:
            raise LeaseLost(run_id)

    def forget(self, run_id: str) -> None:
        """It is over, or another's."""
        self._until.pop(run_id, None)

    async def held(self, session: AsyncSession, run_ids: Iterable[str]) -> set[str]:
        """Those of them that are ours, and stay so until the transaction ends."""
        ours = (LeaseRow.run_id.in_(list(run_ids)), LeaseRow.holder == self.holder)
        # does not wait for a renewal, nor the other way round
        query = select(LeaseRow.run_id).where(*ours).with_for_update(read=True, key_share=True)
        return set(await session.scalars(query))

    # While it goes

    async def keep(self) -> None:
        """Renew all, until it is cancelled. To be called only where leases are shared."""
        pause_s = self.lease_s / 3
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self.lease_s / (3 if await self._renewed() else 30)

    async def _renewed(self) -> bool:
        try:
            async with asyncio.timeout(self.lease_s / 6):
                await self.renew()
        except Exception as failed:
            _log.warning("leases_not_renewed", error=type(failed).__name__)
            self.drop_overdue()
            return False
        return True

    async def renew(self) -> None:
        """With one statement, however many there are; what is not ours any more is told."""
        since, mine = self._clock(), list(self._until)
        if not mine:
            return
        ours = (LeaseRow.run_id.in_(mine), LeaseRow.holder == self.holder)
        renewal = update(LeaseRow).where(*ours).values(ends_ms=clock_ms() + self.duration_ms)
        async with self._database.begin() as session:
            kept = set(await session.scalars(renewal.returning(LeaseRow.run_id)))
        # what ended meanwhile is in neither
        for run_id in self._until.keys() & set(mine):
            if run_id in kept:
                self.hold(run_id, since)
            else:
                self.lose(run_id)

    def drop_overdue(self) -> None:
        """Stop what may be another's soon."""
        now = self._clock()
        for run_id in [id for id, until in self._until.items() if until <= now]:
            self.lose(run_id)

    def lose(self, run_id: str) -> None:
        """It is not ours any more."""
        if self._until.pop(run_id, None) is not None:
            _log.warning("run_lost", run_id=run_id)
            self._lost(run_id)
