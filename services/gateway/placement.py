"""Where each thread's sandbox is: the lease of a thread on a replica, kept in the database.

Every gateway reads and writes it in transactions. A placement changes only from the version that
its changer saw, so that of several gateways which place or move a thread at once one does and the
others follow. A move names the replica that had the workspace until the new one has it: whoever
opens the thread next, after a crash of anybody, goes on where it was left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from servicekit.sql import Database
from services.gateway.store.tables import PlacementRow, now_ms

# a workspace is looked for at so many earlier replicas, the last ones
_ORIGINS = 4


@dataclass(frozen=True)
class Placement:
    """`origins`: other replicas, one of which may have the workspace still. `used`: a session was
    open here or there, so that there are files to lose."""

    owner: str
    thread_id: str
    replica: str
    origins: tuple[str, ...] = ()
    version: int = 1
    used: bool = False

    def moved_to(self, replica: str) -> "Placement":
        """The same thread's at another replica, which has to fetch the workspace from one of those
        that may have it: this one, or from where this one was to fetch it."""
        known = dict.fromkeys((*self.origins, self.replica)) if self.used else {}
        origins = tuple(each for each in known if each != replica)[-_ORIGINS:]
        return replace(self, replica=replica, origins=origins, version=self.version + 1)

    def settled(self) -> "Placement":
        """The workspace is here and nowhere else."""
        if not self.origins:
            return self
        return replace(self, origins=(), version=self.version + 1)


class Placing(Protocol):
    """What keeps placements."""

    async def get(self, owner: str, thread_id: str) -> Placement | None:
        """The thread's, None where it has none."""

    async def add(self, placement: Placement) -> Placement:
        """A first one; or the one that another gateway has added meanwhile."""

    async def change(self, seen: Placement, to: Placement) -> bool:
        """Whether it was as it was seen, and is so now."""

    async def remove(self, owner: str, thread_id: str) -> None:
        """Of a thread that is gone."""

    async def at(self, replica: str, limit: int) -> Sequence[Placement]:
        """Those of a replica, and those whose workspace may be there still."""


class Placements:
    """In the gateway's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str, thread_id: str) -> Placement | None:
        async with self._database.begin() as session:
            row = await session.get(PlacementRow, (owner, thread_id))
        return _placement(row) if row else None

    async def add(self, placement: Placement) -> Placement:
        row = PlacementRow(
            owner=placement.owner,
            thread_id=placement.thread_id,
            replica=placement.replica,
            origins="",
            version=placement.version,
            since_ms=now_ms(),
            used_ms=None,
        )
        try:
            async with self._database.begin() as session:
                session.add(row)
        except IntegrityError:
            known = await self.get(placement.owner, placement.thread_id)
            # or it was removed again just now, with its thread
            return known or await self.add(placement)
        return placement

    async def change(self, seen: Placement, to: Placement) -> bool:
        now = now_ms()
        values: dict[str, object] = {
            "replica": to.replica,
            "origins": " ".join(to.origins),
            "version": to.version,
        }
        if to.used:
            values["used_ms"] = now
        if to.replica != seen.replica:
            values["since_ms"] = now
        query = update(PlacementRow).where(
            PlacementRow.owner == seen.owner,
            PlacementRow.thread_id == seen.thread_id,
            PlacementRow.version == seen.version,
        )
        async with self._database.begin() as session:
            changed = await session.execute(query.values(**values))
        return bool(changed.rowcount)  # type: ignore[attr-defined]

    async def remove(self, owner: str, thread_id: str) -> None:
        query = delete(PlacementRow).where(
            PlacementRow.owner == owner, PlacementRow.thread_id == thread_id
        )
        async with self._database.begin() as session:
            await session.execute(query)

    async def at(self, replica: str, limit: int) -> Sequence[Placement]:
        query = (
            select(PlacementRow)
            .where(
                or_(
                    PlacementRow.replica == replica,
                    PlacementRow.origins.contains(replica, autoescape=True),
                )
            )
            # what was never used has nothing there, and comes last
            .order_by(PlacementRow.used_ms.is_(None), PlacementRow.used_ms.desc())
            .limit(limit)
        )
        async with self._database.begin() as session:
            found = [_placement(row) for row in await session.scalars(query)]
        return [each for each in found if replica in (each.replica, *each.origins)]


def _placement(row: PlacementRow) -> Placement:
    return Placement(
        row.owner,
        row.thread_id,
        row.replica,
        tuple(row.origins.split()),
        row.version,
        used=row.used_ms is not None,
    )
