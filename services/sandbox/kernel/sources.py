"""`sources`: the run's data sources, as programs see them.

    orders = sources["sales"].query("SELECT * FROM orders WHERE region = $1", ["Nordvik"])
    visits = sources["lake"].read("web/sessions-*.csv")
    sources["lake"].list("web/")
    sources["sales"].tables()
    sources["sales"].schema("public.orders")
    sources["sales"].preview("public.orders")
    sources["sales"].query(sql, as_="path")      # a Parquet file, for what is too large for memory

or, as the whole of a program, `%%sql sales` (or `%%sql sales orders`, which keeps the rows as
`orders`) above a statement.

Data comes from a broker outside, which holds the grants; what it refuses raises PermissionError,
what is not there FileNotFoundError, what a database says of a query QueryError."""

import io
import os
import re
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .protocol import Frame, Kind
from .shapes import frame, polars, written
from .wire import Closed, Wire

if TYPE_CHECKING:
    import pandas as pd

_UPLOAD_PIECE = 1024 * 1024
Rows: TypeAlias = Any  # a DataFrame of pandas or polars, a pyarrow.Table, or the name of a file
Shape = Literal["pandas", "arrow", "polars", "path"]
_PACKED = re.compile(r"\.(gz|zst|bz2)$", re.IGNORECASE)
_SHAPES = ("pandas", "arrow", "polars", "path")


class SourceError(RuntimeError):
    """A source, or the way to it, failed. `reason`: the platform's word for it."""

    def __init__(self, message: str, reason: str = "", fields: Mapping[str, str] | None = None):
        super().__init__(message)
        self.reason = reason
        self.fields = dict(fields or {})


class SourceWarning(UserWarning):
    """What came is not all that there is."""


class QueryError(SourceError):
    """The database refused the query."""

    @property
    def sqlstate(self) -> str:
        return self.fields.get("sqlstate", "")

    @property
    def position(self) -> int | None:
        """Of the character, from 1."""
        told = self.fields.get("position", "")
        return int(told) if told.isdigit() else None

    @property
    def hint(self) -> str:
        return self.fields.get("hint", "")

    @property
    def detail(self) -> str:
        return self.fields.get("detail", "")


class QueryTimeout(QueryError, TimeoutError):
    """It ran past its time."""


_PERMISSION = ("BEYOND_GRANT", "SOURCE_FORBIDDEN", "NOT_APPROVED")
_GRANTS = ("GRANT_INVALID", "GRANT_EXPIRED", "GRANT_REVOKED")
_QUERY = ("QUERY_FAILED", "QUERY_NOT_READ_ONLY")


def raised(header: Mapping[str, Any]) -> Exception:
    """What a refusal of the broker is in Python."""
    reason, fields = str(header.get("reason", "")), dict(header.get("fields") or {})
    message = " ".join(str(header.get(key, "")) for key in ("message", "remedy")).strip()
    if reason in (*_PERMISSION, *_GRANTS):
        return PermissionError(message)
    if reason in ("PATH_NOT_FOUND", "FileNotFoundError"):
        return FileNotFoundError(message)
    if reason == "ALREADY_EXISTS":
        return FileExistsError(message)
    if reason == "SOURCE_NOT_FOUND":
        return KeyError(message)
    if reason == "QUERY_TIMEOUT":
        return QueryTimeout(message, reason, fields)
    return (QueryError if reason in _QUERY else SourceError)(message, reason, fields)


class _Link:
    """Connections to the broker: asked for one by one, used again, one for each thing at a time."""

    def __init__(self, broker: socket.socket) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._idle: list[Wire] = []
        self._owner = os.getpid()

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """One that fails, or is left in the middle, is closed: the broker then stops its work."""
        wire = self._take()
        try:
            yield wire
        except BaseException:
            wire.close()
            raise
        with self._lock:
            self._idle.append(wire)

    def _take(self) -> Wire:
        with self._lock:
            if os.getpid() != self._owner:  # a forked child: its parent's are in use there
                self._idle, self._owner = [], os.getpid()
            if self._idle:
                return self._idle.pop()
            self._broker.send(b"c")
            _, descriptors, _, _ = socket.recv_fds(self._broker, 1, 1)
        if not descriptors:
            raise SourceError("the broker is gone, or too many connections are open")
        return Wire(socket.socket(fileno=descriptors[0]))

    def ask(self, header: dict[str, Any]) -> dict[str, Any]:
        with self.wire() as wire:
            wire.send(Kind.ASK, header)
            answer = received(wire)
        if answer.kind is Kind.FAILED:
            raise raised(answer.header)
        return answer.header


def received(wire: Wire) -> Frame:
    try:
        return wire.receive()
    except Closed:
        raise SourceError("the broker ended the connection") from None


class _Pieces(io.RawIOBase):
    """The bytes of an answer, as a file that is read once."""

    def __init__(self, wire: Wire, on_end: Callable[[dict[str, Any]], None]) -> None:
        self._wire = wire
        self._on_end = on_end
        self._rest = memoryview(b"")
        self.ended = False
        self.failed: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self.ended:
            self._next()
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> None:
        frame = received(self._wire)
        if frame.kind is Kind.PIECE:
            self._rest = memoryview(frame.payload)
            return
        self.ended = True
        if frame.kind is Kind.FAILED:
            self.failed = raised(frame.header)
            raise self.failed
        self._on_end(frame.header)

    def skip_to_end(self) -> None:
        while not self.ended:
            self._next()


class Source(Mapping[str, Any]):
    """One data source. As a mapping: what is known of it (name, type, notes)."""

    def __init__(self, link: _Link, about: Mapping[str, Any]) -> None:
        self._link = link
        self._about = dict(about)

    @property
    def name(self) -> str:
        return str(self._about["name"])

    @property
    def type(self) -> str:
        return str(self._about["type"])

    def __getitem__(self, key: str) -> Any:
        return self._about[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._about)

    def __len__(self) -> int:
        return len(self._about)

    def __repr__(self) -> str:
        return f"<source {self.name!r}, {self.type}>"

    def query(
        self,
        sql: str,
        params: Sequence[Any] = (),
        *,
        max_rows: int | None = None,
        as_: Shape = "pandas",
    ) -> "Rows":
        """The rows of one reading statement; `params` stand for $1, $2 … `as_="path"` writes them
        to a Parquet file of the workspace, piece by piece, and returns its name."""
        what = {"sql": sql, "params": [_parameter(value) for value in params]}
        return self._table(what, max_rows, (), as_)

    def read(
        self,
        path: str,
        *,
        columns: Sequence[str] = (),
        max_rows: int | None = None,
        as_: Shape = "pandas",
        version: str = "",
    ) -> "Rows":
        """A relation ("public.orders"), a blob, or all that match a glob as one table. `version`:
        what one blob was before, as `list` tells it."""
        return self._table({"path": path, "version": version}, max_rows, columns, as_)

    def preview(self, path: str, rows: int = 10) -> "pd.DataFrame":
        """The first rows of a relation or a blob."""
        first: pd.DataFrame = self._table({"path": path}, rows, (), "pandas", cut_told=False)
        return first

    def list(
        self, prefix: str = "", *, glob: str = "", include: Sequence[str] = ()
    ) -> "pd.DataFrame":
        """What lies there: path, kind, size, rows, time of change, properties. With a glob may be
        included "snapshots", "versions" and "deleted" blobs; also without, "tags"."""
        import pandas as pd

        asked = self._asked("list", prefix=prefix, glob=glob, include=[*include])
        return pd.DataFrame(self._link.ask(asked)["entries"])

    def tables(self) -> "pd.DataFrame":
        """All relations, with their schemas."""
        import pandas as pd

        return pd.DataFrame(self._link.ask(self._asked("tables"))["entries"])

    def schema(self, path: str) -> "pd.DataFrame":
        """Columns, one a row; `.attrs` has keys and row count."""
        import pandas as pd

        answer = self._link.ask(self._asked("schema", path=path))
        frame = pd.DataFrame(answer["columns"])
        frame.attrs.update(answer["attrs"])
        return frame

    def download(
        self, path: str, to: str | None = None, *, version: str = "", unpack: bool = False
    ) -> str:
        """A blob as it is, or unpacked, into the workspace (or wherever `to` says). Returns its
        path there."""
        name = path.rpartition("/")[2] or "download"
        target = Path(to or (_PACKED.sub("", name) if unpack else name))
        partial = target.with_name(f"{target.name}.partial")
        try:
            what = {"path": path, "version": version}
            asked = self._fetch(what, raw="unpacked" if unpack else True)
            with partial.open("wb") as file, self._bytes(asked) as content:
                while piece := content.read(_UPLOAD_PIECE):
                    file.write(piece)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return str(target)

    def upload(self, file: str, path: str, *, overwrite: bool = False) -> dict[str, Any]:
        """A file of the workspace, into the source, where the run may write."""
        with self._link.wire() as wire, Path(file).open("rb") as content:
            wire.send(Kind.ASK, self._asked("upload", path=path, overwrite=overwrite))
            while piece := content.read(_UPLOAD_PIECE):
                wire.send(Kind.UPLOAD, {}, piece)
            wire.send(Kind.END)
            answer = received(wire)
        if answer.kind is Kind.FAILED:
            raise raised(answer.header)
        return answer.header

    def _asked(self, operation: str, **details: Any) -> dict[str, Any]:
        return {"do": operation, "source": self.name, **details}

    def _fetch(
        self, what: dict[str, Any], *, raw: bool | str = False, **more: Any
    ) -> dict[str, Any]:
        return self._asked("fetch", what=what, raw=raw, **more)

    def _table(
        self,
        what: dict[str, Any],
        max_rows: int | None,
        columns: Sequence[str],
        as_: Shape,
        *,
        cut_told: bool = True,
    ) -> Any:
        import pyarrow as pa

        if as_ not in _SHAPES:
            raise ValueError(f"as_ is one of {', '.join(map(repr, _SHAPES))}, not {as_!r}")
        asked = self._fetch(what, max_rows=max_rows, columns=list(columns))
        with (
            self._bytes(asked, cut_told=cut_told) as content,
            pa.ipc.open_stream(content) as reader,
        ):
            if as_ == "path":
                return written(reader, self.name)
            table = reader.read_all()
        return table if as_ == "arrow" else polars(table) if as_ == "polars" else frame(table)

    @contextmanager
    def _bytes(
        self, asked: dict[str, Any], *, cut_told: bool = True
    ) -> Iterator[io.BufferedReader]:
        """What the source sends. That it cut the data short is a SourceWarning."""
        with self._link.wire() as wire:
            wire.send(Kind.ASK, asked)
            pieces = _Pieces(wire, self._warn_cut if cut_told else _pass)
            try:
                yield io.BufferedReader(pieces, _UPLOAD_PIECE)
                pieces.skip_to_end()
            except Exception:
                # Arrow wraps what a read raises into an error of its own
                if pieces.failed is not None:
                    raise pieces.failed from None
                raise

    def _warn_cut(self, summary: dict[str, Any]) -> None:
        if summary.get("truncated"):
            text = f"{self.name}: cut at the {summary['truncated_by']}"
            warnings.warn_explicit(text, SourceWarning, "<program>", _line_of_program())


def _pass(_: dict[str, Any]) -> None:
    """Of a preview, nobody expects more."""


def _line_of_program() -> int:
    at: Any = sys._getframe(1)
    while at is not None and not at.f_code.co_filename.startswith("<ipython-input"):
        at = at.f_back
    return at.f_lineno if at is not None else 0


def _parameter(value: Any) -> Any:
    """A value that a query can be bound to, for JSON; kinds that JSON lacks are tagged."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"binary": value.hex()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "item"):  # a scalar of numpy
        return _parameter(value.item())
    raise TypeError(f"a query cannot be bound to a {type(value).__name__}")


class Sources(Mapping[str, Source]):
    """The sources of this run, by name."""

    def __init__(self, broker: socket.socket) -> None:
        self._link = _Link(broker)

    QueryError = QueryError
    QueryTimeout = QueryTimeout
    SourceError = SourceError
    SourceWarning = SourceWarning

    def _all(self) -> dict[str, dict[str, Any]]:
        return {about["name"]: about for about in self._link.ask({"do": "sources"})["sources"]}

    def __getitem__(self, name: str) -> Source:
        known = self._all()
        if name not in known:
            has = ", ".join(map(repr, known)) or "none"
            raise KeyError(f"no source named {name!r}; this run has {has}")
        return Source(self._link, known[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        named = (f"{name} ({about['type']})" for name, about in self._all().items())
        return f"<sources: {', '.join(named)}>"
