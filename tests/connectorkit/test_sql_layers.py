"""Each layer around a query, with the others off: what it alone keeps from happening."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectorkit.files.sql import confining, frames
from connectorkit.files.sql.frames import Broken, Kind
from connectorkit.files.sql.processes import Failed, Process, ProcessLost, Share
from connectorkit.files.sql.serving import Files, Link, Ranges
from servicekit.limits import Limiter
from servicekit.testing import no_leaks
from tests.connectorkit.sql_attacks import ATTACKS
from tests.connectorkit.trap import Trap, trap

__all__ = ["no_leaks", "trap"]


def share(*, locked: bool, confined: bool) -> Share:
    return Share(256 * 1024 * 1024, 2, 60, locked=locked, confined=confined)


async def answer_of(process: Process, sql: str, files: Files) -> str:
    """All rows as text. Raises as the process does."""
    async with Limiter("test", 1) as threads:
        schema = await process.run(sql, [], files, most_rows=100)
        batches = [each async for each in process.batches(schema, threads)]
    return str(pa.Table.from_batches(batches, schema).to_pylist())


NOTHING: Any = Files(None, [], {})  # type: ignore[arg-type]


async def sprung_by(trap: Trap, layers: Share) -> dict[str, str]:
    """Every attack, unguarded; what came of those that were not held."""
    found: dict[str, str] = {}
    process = await Process.start(layers)
    try:
        for attack in ATTACKS:
            answer = ""
            try:
                async with asyncio.timeout(3):
                    answer = await answer_of(process, trap.spring(attack.sql), NOTHING)
            except Failed as failed:
                answer = str(failed.told)
            except (ProcessLost, TimeoutError, Broken, pa.ArrowException):
                await process.kill()
                process = await Process.start(layers)
            if told := trap.sprung(answer):
                found[attack.name] = told
    finally:
        await process.kill()
    return found


@pytest.mark.req("P8", "X3")
@pytest.mark.timeout(240)
async def test_locks_of_duckdb_hold_every_attack_alone(trap: Trap) -> None:
    assert await sprung_by(trap, share(locked=True, confined=False)) == {}


@pytest.mark.req("P8", "X3")
@pytest.mark.timeout(240)
async def test_confinement_holds_every_attack_alone(trap: Trap) -> None:
    assert await sprung_by(trap, share(locked=False, confined=True)) == {}


async def test_without_a_layer_the_trap_springs(trap: Trap) -> None:
    """So that the tests above are known to see it."""
    async with await Process.start(share(locked=False, confined=False)) as process:
        read = trap.spring("SELECT * FROM '{file}'")
        assert trap.sprung(await answer_of(process, read, NOTHING)) == "the secret was read"
        with suppress(Failed):
            await answer_of(process, trap.spring("COPY (SELECT 1) TO '{out}'"), NOTHING)
        assert trap.sprung("") == "something was written"


# The grant alone: no guard, no locks, no confinement


@dataclass(frozen=True)
class One:
    """A file."""

    name: str
    size_bytes: int
    etag: str = ""
    modified_at: datetime | None = None
    content_type: str = ""
    encoding: str = ""


class Held:
    """A source of one file, that says what is asked of it."""

    label = "held"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    async def range(self, member: One, offset: int, length: int) -> bytes:
        self.asked.append((member.name, offset, length))
        return b"a\n12345\n"[offset : offset + length]


@asynccontextmanager
async def bare(held: Held) -> AsyncIterator[tuple[Process, Files]]:
    files = Files(held, [One("in/a.csv", 8)], {"in/*.csv": ["in/a.csv"]})
    async with await Process.start(share(locked=False, confined=False)) as process:
        yield process, files


@pytest.mark.req("X4")
async def test_only_files_of_the_grant_are_there(no_leaks: Any) -> None:
    held = Held()
    async with bare(held) as (process, files):
        assert "12345" in await answer_of(process, "FROM 'lake://in/*.csv'", files)
        for path in ("lake://out/b.csv", "lake://in/../out/b.csv", "lake://**", "lake://in/b.csv"):
            # it finds no file of the name: that is an error, or no rows
            with suppress(Failed):
                assert await answer_of(process, f"FROM read_text('{path}')", files) == "[]"
    assert {name for name, _, _ in held.asked} == {"in/a.csv"}


@pytest.mark.req("X4")
@pytest.mark.parametrize(
    "asked", [(1, 0, 1), (0, 0, 9), (0, 8, 1), (0, 0, 0), (0, 1 << 62, 1), (0, 0, (1 << 32) - 1)]
)
async def test_range_beyond_the_files_of_a_query_is_not_served(asked: tuple[int, int, int]) -> None:
    """As a process would ask that was taken over."""
    held = Held()
    ours, theirs = socket.socketpair()
    link, loop = await Link.of(ours), asyncio.get_running_loop()
    files = Files(held, [One("in/a.csv", 8)], {})
    task = asyncio.create_task(Ranges(link, files).serve())
    theirs.setblocking(False)
    await loop.sock_sendall(theirs, frames.packed(Kind.RANGE, frames.RANGE.pack(*asked, 7)))
    answer = await loop.sock_recv(theirs, 64)
    theirs.close()
    await task
    await link.aclose()
    assert frames.head(answer[: frames.HEAD.size])[1] is Kind.LOST and not held.asked


# Confinement, call by call


@pytest.mark.skipif(not confining.landlock_abi(), reason="this kernel has no Landlock")
async def test_landlock_is_in_force() -> None:
    async with await Process.start(share(locked=True, confined=True)) as process:
        assert process.landlock >= 1


async def test_process_is_filtered_and_goes_first() -> None:
    async with await Process.start(share(locked=True, confined=True)) as process:
        own = Path(f"/proc/{process.pid}")
        status = (own / "status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
        assert (own / "oom_score_adj").read_text().strip() == "1000"
