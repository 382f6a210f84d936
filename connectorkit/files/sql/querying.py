"""A query of a Fetch or a Preview: parsed, judged, its paths resolved, run, streamed."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from connectorkit.files.errors import FileFault, QueryFailed, QueryNotReadOnly
from connectorkit.files.members import Member
from connectorkit.files.sql import guard
from connectorkit.files.sql.frames import Broken
from connectorkit.files.sql.guard import Statement
from connectorkit.files.sql.pool import Processes
from connectorkit.files.sql.processes import Failed, Process, ProcessLost
from connectorkit.files.sql.serving import Files, Ranged
from isobath.connector.v1 import connector_pb2 as pb
from servicekit import logs
from servicekit.limits import Limiter
from servicekit.status import InvalidField

_log = logs.get(__name__)
# under the grant: the files that a path stands for
Resolve = Callable[[str], Awaitable[Sequence[Member]]]
_MORE_MEMORY = "Aggregate earlier, read fewer columns, or narrow the paths."
# of DuckDB's words for what its own locks refuse
_LOCKED = ("Permission", "PermissionException")
_NO_MEMORY = ("Out of Memory", "OutOfMemoryException", "MemoryError")


@dataclass
class Rows:
    """The answer, while its query runs."""

    schema: pa.Schema
    process: Process
    threads: Limiter
    statement: Statement

    async def batches(self) -> AsyncGenerator[pa.RecordBatch, None]:
        """Raises QueryFailed, FileFault."""
        try:
            async with aclosing(self.process.batches(self.schema, self.threads)) as coming:
                async for batch in coming:
                    yield batch
        except (Failed, ProcessLost, Broken) as exc:
            raise fault_of(exc, self.statement) from exc


class Queries:
    def __init__(self, processes: Processes, threads: Limiter, read_bytes: int) -> None:
        self._processes, self._threads, self._read_bytes = processes, threads, read_bytes

    @asynccontextmanager
    async def running(
        self, source: Ranged, query: pb.Query, resolve: Resolve, *, most_rows: int = 0
    ) -> AsyncIterator[Rows]:
        """The process is killed on leaving, be the query done or not. Raises QueryFailed,
        QueryNotReadOnly, QueriesBusy, TooLarge, and what `resolve` raises."""
        sql, parameters = _text(query), [_value(each) for each in query.parameters]
        began = time.monotonic()
        async with self._processes.one() as process:
            statement = await _judged(process, sql)
            files = await _files(source, statement, resolve, self._read_bytes)
            try:
                schema = await process.run(statement.sql, parameters, files, most_rows=most_rows)
                yield Rows(schema, process, self._threads, statement)
            except (Failed, ProcessLost, Broken) as exc:
                raise fault_of(exc, statement) from exc
            finally:
                _log.info(
                    "query_over_files",
                    source=source.label,
                    files=len(files.members),
                    bytes_there=sum(each.size_bytes for each in files.members),
                    bytes_read=process.bytes_read,
                    seconds=round(time.monotonic() - began, 3),
                )


def _text(query: pb.Query) -> str:
    sql = str(query.sql)
    if not sql.strip():
        raise InvalidField("selection.query.sql", "selection.query.sql is missing")
    if len(sql) > guard.MAX_SQL_CHARS or "\0" in sql:
        raise InvalidField(
            "selection.query.sql",
            f"a query has {guard.MAX_SQL_CHARS:,} characters at most, and no NUL",
        )
    return sql


def _value(parameter: pb.Parameter) -> Any:
    kind = parameter.WhichOneof("value")
    if kind is None:
        return None
    if kind == "binary":
        raise InvalidField("parameters", "a query over files takes no binary parameter")
    return getattr(parameter, kind)


async def _judged(process: Process, sql: str) -> Statement:
    try:
        return guard.judged(sql, await process.parsed(sql))
    except (Failed, ProcessLost, Broken) as exc:
        # too deep for the parser, or for JSON: whatever it is, it does not run
        raise QueryNotReadOnly("the statement is not understood", construct="unknown") from exc


async def _files(source: Ranged, statement: Statement, resolve: Resolve, most_bytes: int) -> Files:
    families = {path: list(await resolve(path)) for path in statement.paths}
    members = {each.name: each for found in families.values() for each in found}
    # not the empty files that some writers leave beside the others
    names = {
        path: [each.name for each in found if each.size_bytes or len(found) == 1]
        for path, found in families.items()
    }
    return Files(source, list(members.values()), names, most_bytes)


def fault_of(exc: Failed | ProcessLost | Broken, statement: Statement) -> FileFault:
    """DuckDB's complaint as ours, with the place in the caller's own text."""
    if isinstance(exc, Broken):
        return QueryFailed("the query's process broke off")
    if isinstance(exc, ProcessLost):
        return QueryFailed(
            "the query's process was ended: it took more memory or time than it may",
            hint=_MORE_MEMORY,
        )
    kind = str(exc.told.get("exception_type", ""))
    if kind in _NO_MEMORY:
        return QueryFailed("the query needs more memory than it may", hint=_MORE_MEMORY)
    text = _plain(str(exc.told.get("exception_message", "")))
    if kind in _LOCKED:
        return QueryNotReadOnly(f"DuckDB may not do that here: {text}", construct="permission")
    at = str(exc.told.get("position", ""))
    position = statement.position(int(at)) if at.isdigit() else 0
    return QueryFailed(text, sql=statement.source, position=position)


def _plain(text: str) -> str:
    """Without Python's own trace, and with paths as the caller wrote them."""
    if "Traceback (most recent call last)" in text:
        text = text.strip().rsplit("\n", 1)[-1]
    # DuckDB marks the place in the text that it was given; we do so in the caller's
    return text.split("\n\nLINE ", 1)[0].replace(f"{guard.PROTOCOL}://", "")[:2000]
