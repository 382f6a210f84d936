"""A query's rows as COPY … TO STDOUT gives them, the fastest way out of PostgreSQL."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from services.pg_connector.binary.decoding import way_of
from services.pg_connector.faults import Doing
from services.pg_connector.reading import Reading
from services.pg_connector.traced import statement
from services.pg_connector.values import Column

# The client library hands over what a read of the socket brought. Larger pieces cost less in all
# that follows, so they grow from the first, which is given at once. Two on the way let server and
# consumer work at once.
_PIECE_BYTES = 512 * 1024
_PIECES_AHEAD = 2
# The server writes 8 KiB at a time. Left alone for a moment, the socket gathers what would else
# cost a wake-up each: at 100 MB/s, 200 KB in two milliseconds.
_GATHER_S = 0.002
_GATHERED_BYTES = 64 * 1024


Form = Literal["csv", "binary"]


@dataclass(frozen=True)
class Copy:
    """What is sent to the server, and how many characters stand before the caller's text."""

    sql: str
    shift: int
    form: Form


def copy_of(sql: str, columns: Sequence[Column], *, form: Form, max_rows: int = 0) -> Copy:
    """The query as a table whose columns are numbered, since names may repeat. A line break ends a
    comment at the query's end. One row more than the bound shows whether there are more.

    CSV is for people, with booleans as true and false instead of t and f; binary is for `binary`.
    """
    names = [f"c{number}" for number in range(len(columns))]
    wanted = ", ".join(
        _written(f"q.{name}", column, form) for name, column in zip(names, columns, strict=True)
    )
    head = f"SELECT {wanted} FROM (\n"  # noqa: S608
    limit = f" LIMIT {max_rows + 1}" if max_rows else ""
    return Copy(f"{head}{sql}\n) AS q({', '.join(names)}){limit}", len(head), form)


def _written(name: str, column: Column, form: Form) -> str:
    if form == "binary":
        return way_of(column).written(name)
    return f"{name}::pg_catalog.text" if pa.types.is_boolean(column.arrow) else name


def unheard(_: int) -> None:
    pass


async def copied(
    reading: Reading,
    copy: Copy,
    doing: Doing,
    *,
    done: Callable[[int], None] = unheard,
) -> AsyncGenerator[bytes, None]:
    """Its bytes; CSV without a header line. `done` hears how many rows the server counted, before
    the end is told; not where it is left earlier.

    The transaction is to have standard_conforming_strings on, for COPY goes through the simple
    protocol, which takes any number of statements.

    Leaving it stops the query at the server. Raises PgFault, RevokedGrant.
    """
    coming: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(_PIECES_AHEAD)
    gathering = _Gathering(coming)
    task = asyncio.create_task(_fill(gathering, reading, copy, doing, done), name="copy")
    try:
        while (piece := await coming.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Gathering:
    """What the client library brings, in pieces."""

    def __init__(self, coming: "asyncio.Queue[bytes | Exception | None]") -> None:
        self.coming = coming
        self._parts = list[bytes]()
        self._given = self._size = 0

    async def put(self, data: bytes) -> None:
        """The client library reads no more from the socket until this returns."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= min(self._given, _PIECE_BYTES):
            await self.flush()
        elif len(data) < _GATHERED_BYTES:
            await asyncio.sleep(_GATHER_S)

    async def flush(self) -> None:
        if self._parts:
            piece = b"".join(self._parts)
            self._given += self._size
            self._parts, self._size = [], 0
            await self.coming.put(piece)


async def _fill(
    gathering: _Gathering,
    reading: Reading,
    copy: Copy,
    doing: Doing,
    done: Callable[[int], None],
) -> None:
    try:
        work = reading.connection.copy_from_query(copy.sql, output=gathering.put, format=copy.form)
        with statement(reading.held.place, "COPY", doing.sql) as span:
            tag = await reading.run(work, doing)
            span.tell({"db.response.returned_rows": int(tag.removeprefix("COPY "))})
    except Exception as exc:
        await gathering.coming.put(exc)
        return
    await gathering.flush()
    done(int(tag.removeprefix("COPY ")))
    await gathering.coming.put(None)
