"""Bytes that belong to no file, and files that have no bytes: the store held against the table.

Both are gone through once, in the order of names, so that neither has to fit into memory."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from sqlalchemy import select

from servicekit.sql import Database
from servicekit.status import Fault
from services.gateway.bytestore.port import ByteStore, Kept
from services.gateway.files import forget
from services.gateway.store.tables import FileRow

# of one pass; the next one goes on
MOST = 10_000
PAGE = 1000
DELETES_AHEAD = 8
# fewer are never suspicious
FEW = 100
# names that a gateway gives; what else lies there is others', and left alone
_OURS = re.compile(r"file-[0-9a-f]{24}(\.part)?")


class WrongStore(Fault):
    """What lies in the store is mostly not of this database."""

    remedy = (
        "See that DATABASE_URL and FILES_URL (or HOME) belong together, and that no other gateway "
        "uses this store; then run `python -m services.gateway clean --force` once."
    )

    def __init__(self, orphans: int, seen: int) -> None:
        super().__init__(
            f"{orphans:,} of {seen:,} names in the store belong to no file: left alone"
        )


@dataclass
class Compared:
    """`seen` and `foreign` count names in the store."""

    orphans: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seen: int = 0
    foreign: int = 0

    def require_plausible(self) -> None:
        """Raises `WrongStore`."""
        if len(self.orphans) > FEW and len(self.orphans) * 2 > self.seen:
            raise WrongStore(len(self.orphans), self.seen)


@dataclass(frozen=True)
class Row:
    """A file as the table has it."""

    id: str
    created_ms: int


async def compared(
    kept: AsyncIterator[Kept], rows: AsyncIterator[Row], *, before_ms: int
) -> Compared:
    """Of both, in the order of names, what is older than `before_ms`: what is younger may be on its
    way. Raises `ValueError` where an order is not that of the names."""
    found = Compared()
    row = await anext(rows, None)
    last = ""
    async for each in kept:
        if not _OURS.fullmatch(each.name):
            found.foreign += 1
            continue
        if each.name <= last:
            raise ValueError("the store does not list its names in order")
        last = each.name
        found.seen += 1
        while row is not None and row.id < each.name:
            _note_lost(found, row, before_ms)
            row = await _next(rows, row)
        if row is not None and row.id == each.name:
            row = await _next(rows, row)
        elif each.written_ms < before_ms and len(found.orphans) < MOST:
            found.orphans.append(each.name)
    while row is not None:
        _note_lost(found, row, before_ms)
        row = await _next(rows, row)
    return found


def _note_lost(found: Compared, row: Row, before_ms: int) -> None:
    if row.created_ms < before_ms and len(found.lost) < MOST:
        found.lost.append(row.id)


async def _next(rows: AsyncIterator[Row], row: Row) -> Row | None:
    following = await anext(rows, None)
    if following is not None and following.id <= row.id:
        raise ValueError("the table does not list its names in order")
    return following


class Orphans:
    """Of one gateway's database and store."""

    def __init__(self, database: Database, store: ByteStore) -> None:
        self._database = database
        self._store = store

    async def find(self, before_ms: int) -> Compared:
        """Nothing is changed."""
        async with aclosing(self._store.kept()) as kept, aclosing(self._rows()) as rows:
            found = await compared(kept, rows, before_ms=before_ms)
        # of a file that was deleted meanwhile, the row went first
        still = await self._known(found.lost)
        found.lost = [id for id in found.lost if id in still]
        return found

    async def remove(self, names: list[str]) -> int:
        """Bytes, unless they belong to a file after all; how many names there were."""
        removed = 0
        for at in range(0, len(names), PAGE):
            some = names[at : at + PAGE]
            known = await self._known(some)
            gone = [name for name in some if name not in known]
            for start in range(0, len(gone), DELETES_AHEAD):
                deletes = map(self._store.delete, gone[start : start + DELETES_AHEAD])
                await asyncio.gather(*deletes)
            removed += len(gone)
        return removed

    async def forget(self, ids: list[str]) -> int:
        """Rows of files that have no bytes; how many there were."""
        removed = 0
        for at in range(0, len(ids), PAGE):
            which = FileRow.id.in_(ids[at : at + PAGE])
            removed += await forget(self._database, self._store, which)
        return removed

    async def _rows(self) -> AsyncGenerator[Row, None]:
        last = ""
        while True:
            query = select(FileRow.id, FileRow.created_ms).where(FileRow.id > last)
            async with self._database.begin() as session:
                page = (await session.execute(query.order_by(FileRow.id).limit(PAGE))).all()
            for id, created_ms in page:
                yield Row(id, created_ms)
            if len(page) < PAGE:
                return
            last = page[-1][0]

    async def _known(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        for at in range(0, len(names), PAGE):
            query = select(FileRow.id).where(FileRow.id.in_(names[at : at + PAGE]))
            async with self._database.begin() as session:
                found |= set(await session.scalars(query))
        return found
