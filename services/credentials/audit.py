"""A record of each thing that was done with a secret or a grant, or was refused: kept in order, in
a chain whose head lies sealed beside it, and told to the log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from grants.claims import Grant
from servicekit import context, logs
from servicekit.chain import ChainBroken, Head, followed, linked
from servicekit.secrets import redact
from servicekit.status import CallerNotAllowed
from services.credentials.clock import Clock
from services.credentials.sealing import Seal
from services.credentials.store import Db, Row, Store

_log = logs.get(__name__)
_NAME = ("lid", "audit")
_SAVE_HEAD = (
    "INSERT INTO lid VALUES ('audit', ?) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed"
)
_LAST = "SELECT coalesce(max(number), 0) FROM audit"
# one chain, whoever writes: each batch goes on where the last one ended
_LOCK = "audit"
# Lines are read in pieces, for there may be many.
_PIECE = 1000


@dataclass(eq=False)
class _Batch:
    """Records that are written in one transaction."""

    records: list[dict[str, Any]] = field(default_factory=list)
    head: Head | None = None


class Trail:
    """What is answered was written first: when a record cannot be kept, the call fails."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._writing = asyncio.Lock()
        self._batch = _Batch()

    @asynccontextmanager
    async def audited(self, operation: str, **facts: Any) -> AsyncIterator[dict[str, Any]]:
        """Facts that come to light within are added to what it gives. They are names, never
        values."""
        told: dict[str, Any] = dict(facts)
        try:
            yield told
        except (Exception, asyncio.CancelledError) as exc:
            # one that was cancelled may have been done nonetheless
            await self._append(operation, {**told, "refused": type(exc).__name__}, "warning")
            raise
        await self._append(operation, told, "info")

    async def refused(self, method: str) -> None:
        """Somebody whom we know called what is not theirs."""
        told = {"method": method, "refused": CallerNotAllowed.__name__}
        await self._append("call", told, "warning")

    async def _append(self, operation: str, told: dict[str, Any], level: str) -> None:
        who = {"caller": context.caller(), "request_id": context.request_id()}
        facts = {name: redact(name, value) for name, value in told.items()}
        at = self._clock.now().isoformat(timespec="microseconds")
        # An answer must not be lost between the writing and the telling.
        head = await asyncio.shield(self._write({"at": at, "operation": operation} | who | facts))
        say = _log.info if level == "info" else _log.warning
        chained = {"number": head.number, "digest": head.digest}
        say("audit", operation=operation, caller=context.caller(), **told, **chained)

    async def _write(self, record: dict[str, Any]) -> Head:
        """All that came while another batch was written is written together."""
        batch = self._batch
        batch.records.append(record)
        async with self._writing:
            if batch.head is None:
                self._batch = _Batch()
                batch.head = await self._store.run(
                    lambda db, seal: _write(db, seal, batch.records), _LOCK
                )
            return batch.head


async def load(store: Store, clock: Clock) -> Trail:
    head, last = await store.run(_ends, _LOCK)
    if head.number != last:
        # Going on keeps the evidence; stopping would serve whoever did it.
        _log.error("audit_was_tampered_with", sealed=head.number, found=last)
    return Trail(store, clock)


def _ends(db: Db, seal: Seal) -> tuple[Head, int]:
    """The head that was sealed, and the number of the last record."""
    last = db.execute(_LAST).fetchone()
    return sealed_head(db, seal), last[0] if last else 0


def sealed_head(db: Db, seal: Seal) -> Head:
    """Raises StoreDamaged."""
    row = db.execute("SELECT sealed FROM lid WHERE name = 'audit'").fetchone()
    return Head() if row is None else Head(*seal.open(_NAME, row[0]))


def lines(db: Db) -> Iterator[str]:
    """All records, oldest first, as JSON."""
    after = 0
    while found := page(db, after):
        yield from (line for _, line in found)
        after = found[-1][0]


def page(db: Db, after: int) -> list[Row]:
    """The next records after that number: number and JSON."""
    query = "SELECT number, line FROM audit WHERE number > ? ORDER BY number LIMIT ?"
    return db.execute(query, (after, _PIECE)).fetchall()


def verified(db: Db, seal: Seal) -> Head:
    """Raises ChainBroken, StoreDamaged."""
    head, sealed = followed(lines(db)), sealed_head(db, seal)
    if head != sealed:
        problem = f"the records end with {head.number}, but {sealed.number} were written"
        raise ChainBroken(head.number + 1, problem)
    return head


def facts_of(grant: Grant) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "owner": grant.owner,
        "for_caller": grant.caller,
        "source_id": grant.source_id,
        "run_id": grant.run_id,
        "operations": sorted(grant.operations),
        "expires_at": grant.expires_at.isoformat(timespec="seconds"),
    }


def _write(db: Db, seal: Seal, records: list[dict[str, Any]]) -> Head:
    sealed, last = _ends(db, seal)
    head, rows = Head(max(sealed.number, last), sealed.digest), list[tuple[int, str]]()
    for record in records:
        line, head = linked(head, record)
        rows.append((head.number, line))
    db.executemany("INSERT INTO audit VALUES (?, ?)", rows)
    db.execute(_SAVE_HEAD, (seal.close(_NAME, [head.number, head.digest]),))
    return head
