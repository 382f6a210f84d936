"""The process that runs one query in DuckDB: `python -m connectorkit.files.sql.child T R`.

T and R are its two sockets (see `frames`), all that it has. It parses statements and runs one; then
it is ended. What it holds at most is the files of that query, as bytes.
"""

import json
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from connectorkit.files.sql import confining, frames
from connectorkit.files.sql.frames import Kind
from connectorkit.files.sql.ranges import PROTOCOL, Lake, Ranges, received

_BATCH_ROWS = 16 * 1024
_EXPLAIN = "EXPLAIN "
# Python, DuckDB and Arrow themselves, and what DuckDB does not count
_BESIDE_BYTES = 512 * 1024 * 1024
# Arrow has no type for these, or one that loses what they hold: they are given as text
_AS_TEXT = (
    *("UHUGEINT", "BIGNUM", "VARINT", "BIT", "TIME WITH TIME ZONE"),
    *("UNION", "VARIANT", "ENUM", "GEOMETRY", "JSON"),
)
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET errors_as_json = true",
    "SET preserve_insertion_order = true",
    "SET parquet_metadata_cache = true",
)
# none of it can be undone once the last line ran
_LOCKS = (
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET allow_unsigned_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET temp_directory = ''",
    f"SET allowed_directories = ['{PROTOCOL}://']",
    "SET enable_external_access = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET lock_configuration = true",
)


class Failed(Exception):
    """With what there is to tell of it."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told.get("exception_message", ""))
        self.told = told


def main() -> None:
    warnings.simplefilter("ignore")
    talk, asks = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    started = _next(talk, Kind.START)
    process = Process(talk, Ranges(asks), started)
    process.serve()


def _next(talk: socket.socket, wanted: Kind) -> Mapping[str, Any]:
    size, kind = frames.head(received(talk, frames.HEAD.size))
    body = received(talk, size)
    if kind is not wanted:
        raise SystemExit(f"{kind!r} instead of {wanted!r}")
    return frames.read(body)


class Process:
    def __init__(self, talk: socket.socket, ranges: Ranges, started: Mapping[str, Any]) -> None:
        self._talk, self._lake = talk, (lake := Lake(ranges))
        self._database = _opened(lake, started)
        landlock = _bounded(self._database, started)
        ranges.start()
        if started["confined"]:
            confining.filter_calls()
        self._talk.sendall(frames.told(Kind.READY, landlock=landlock))

    def serve(self) -> None:
        """One statement after the other is parsed, until one is run."""
        while True:
            size, kind = frames.head(received(self._talk, frames.HEAD.size))
            body = frames.read(received(self._talk, size))
            try:
                if kind is Kind.PARSE:
                    self._talk.sendall(frames.packed(Kind.PARSED, self._parsed(body["sql"])))
                    continue
                self._run(body)
                self._talk.sendall(frames.packed(Kind.DONE))
            except MemoryError:
                self._talk.sendall(frames.told(Kind.FAILED, exception_type="Out of Memory"))
            except Failed as exc:
                self._talk.sendall(frames.told(Kind.FAILED, **exc.told))
            except (duckdb.Error, pa.ArrowException, OSError, ValueError) as exc:
                self._talk.sendall(frames.told(Kind.FAILED, **_failure(exc)))

    def _parsed(self, sql: str) -> bytes:
        # its own cursor: a statement of the caller's must not meet one that is open
        found = self._database.cursor().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        return str(found[0] if found else "{}").encode()

    def _run(self, body: Mapping[str, Any]) -> None:
        self._lake.know([tuple(each) for each in body["files"]], body["families"])
        rows = self._bound(body["sql"], body["parameters"] or None)
        types = [str(kind) for kind in rows.types]
        rows = rows.project(_projection(rows.columns, types)) if any(map(_is_text, types)) else rows
        if body["most_rows"]:
            rows = rows.limit(body["most_rows"])
        with rows.to_arrow_reader(_BATCH_ROWS) as reader:
            # the reader's own columns, beside what DuckDB calls their types
            self._send(Kind.SCHEMA, _described(reader.schema, types).serialize())
            for batch in reader:
                self._send(Kind.BATCH, batch.serialize())

    def _bound(self, sql: str, parameters: Sequence[Any] | None) -> duckdb.DuckDBPyRelation:
        try:
            rows = self._database.sql(sql, params=parameters)
        except duckdb.Error as exc:
            raise Failed(self._placed(sql, parameters) or _failure(exc)) from exc
        if rows is None:
            raise ValueError("the statement gives no rows")
        return rows

    def _placed(self, sql: str, parameters: Sequence[Any] | None) -> dict[str, Any] | None:
        """A relation's errors tell no place, those of a statement do."""
        try:
            self._database.execute(_EXPLAIN + sql, parameters)
        except duckdb.Error as exc:
            told = _failure(exc)
            if str(told.get("position", "")).isdigit():
                return {**told, "position": str(max(0, int(told["position"]) - len(_EXPLAIN)))}
        return None

    def _send(self, kind: Kind, body: pa.Buffer) -> None:
        self._talk.sendall(frames.HEAD.pack(body.size, kind))
        self._talk.sendall(body)


def _opened(lake: Lake, started: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    # one thread yet: those that follow come once this one has given up its rights
    database = duckdb.connect(":memory:", config={"threads": 1})
    database.register_filesystem(lake)
    database.execute(f"SET memory_limit = '{int(started['memory_bytes'])}B'")
    for line in _SETTINGS:
        database.execute(line)
    # what is loaded at its first use is loaded now
    database.sql("SELECT 1 AS a, now() AS b, 1::DECIMAL AS c").to_arrow_reader().read_all()
    database.execute("SELECT json_serialize_sql('SELECT 1')").fetchall()
    return database


def _bounded(database: duckdb.DuckDBPyConnection, started: Mapping[str, Any]) -> int:
    """Give up what the query does not need; the version of Landlock, 0 without."""
    landlock = 0
    if started["confined"]:
        confining.limit(int(started["memory_bytes"]) + _BESIDE_BYTES, int(started["cpu_s"]))
        confining.no_new_privileges()
        landlock = confining.landlock()
    database.execute(f"SET threads = {int(started['threads'])}")
    for line in _LOCKS if started["locked"] else ():
        database.execute(line)
    return landlock


def _is_text(kind: str) -> bool:
    """Whether a column of this type is given as text; names of fields within stand in quotes."""
    plain = "".join(kind.split('"')[::2])
    return any(name in plain for name in _AS_TEXT)


def _projection(names: Sequence[str], types: Sequence[str]) -> str:
    """All columns, some of them as text."""
    return ", ".join(
        f"CAST(#{at} AS VARCHAR) AS {_quoted(name)}" if _is_text(kind) else f"#{at}"
        for at, (name, kind) in enumerate(zip(names, types, strict=True), 1)
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _described(schema: pa.Schema, types: Sequence[str]) -> pa.Schema:
    """With DuckDB's own words for the types."""
    return pa.schema(
        field.with_metadata({"type": kind}) for field, kind in zip(schema, types, strict=True)
    )


def _failure(exc: Exception) -> dict[str, Any]:
    """What DuckDB says of a failure (errors_as_json), or what there is to say."""
    text = str(exc)
    with suppress(ValueError):
        told = json.loads(text[text.index("{") :])
        if isinstance(told, dict) and "exception_message" in told:
            return told
    return {"exception_type": type(exc).__name__, "exception_message": text}


if __name__ == "__main__":
    main()
