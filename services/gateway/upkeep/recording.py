"""Records of all owners' runs, from the store into a file: what training is made of."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from servicekit.sql import Database, migrations
from servicekit.sql.migrations import SchemaBehind
from services.gateway import conversations
from services.gateway.conversations import Found, Which
from services.gateway.gateway import database_url
from services.gateway.settings import Settings
from services.gateway.store import database
from services.gateway.upkeep.backup import NothingThere
from services.gateway.upkeep.told import Told

STDOUT = Path("-")
# a conversation is 3 MiB at most
_BATCH = 20
_EVERY_S = 5.0


def moment(text: str) -> int:
    """In milliseconds; a day or a time without a zone is UTC's. Raises ValueError."""
    told = datetime.fromisoformat(text)
    return int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--output", required=True, type=Path, help="the file, which only you may read; - = stdout"
    )
    parser.add_argument(
        "--since", type=moment, help="runs that began then or later, such as 2026-11-24"
    )
    parser.add_argument("--owner", default="", help="of this owner only")
    parser.add_argument("--model", default="", help="of this model only")
    parser.add_argument("--state", default="", choices=conversations.STATES, help="that ended so")
    parser.set_defaults(act=recorded)


async def recorded(settings: Settings, given: argparse.Namespace) -> Told:
    """What was found, as a file. Raises `NothingThere`, `SchemaBehind`, OSError."""
    which = Which(given.since, given.owner, given.model, given.state)
    async with database.unmigrated(database_url(settings)) as rows:
        await _require_schema(rows)
        found = await conversations.find(rows, which)
        with _sink(given.output) as sink:
            written = await _write(rows, found, sink)
    lines = _lines(written, found, given.output)
    if given.output == STDOUT:
        sys.stderr.writelines(f"{each}\n" for each in lines)
        return Told([])
    return Told(lines)


async def _require_schema(rows: Database) -> None:
    if not (found := await migrations.revision(rows.engine)):
        raise NothingThere
    if await migrations.is_behind(rows.engine, database.MIGRATIONS):
        raise SchemaBehind(found, database.newest())


async def _write(rows: Database, found: Found, sink: BinaryIO) -> int:
    written, total = 0, len(found.run_ids)
    tell = _telling()
    for at in range(0, total, _BATCH):
        lines = await conversations.lines(rows, found.run_ids[at : at + _BATCH])
        await asyncio.to_thread(sink.writelines, lines)
        written += len(lines)
        tell(f"{min(at + _BATCH, total):,} of {total:,} runs")
    return written


def _telling() -> Callable[[str], None]:
    """Progress, from time to time."""
    last = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_S:
            last = time.monotonic()
            sys.stderr.write(f"{text}\n")

    return tell


@contextmanager
def _sink(output: Path) -> Iterator[BinaryIO]:
    """A file that is whole or not there, and only its owner's whatever was there before."""
    if output == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    number, name = tempfile.mkstemp(prefix=f".{output.name}-", dir=output.parent)
    try:
        with os.fdopen(number, "wb") as sink:
            yield sink
        Path(name).replace(output)
    except BaseException:
        Path(name).unlink()
        raise


def _lines(written: int, found: Found, output: Path) -> list[str]:
    lines = [f"{written:,} records in {output}"]
    if found.too_large:
        lines.append(f"runs whose conversation was too large to keep: {found.too_large:,} left out")
    if found.missing:
        lines.append(f"runs of which no conversation was kept: {found.missing:,} left out")
    return lines
