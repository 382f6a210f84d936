"""The rows of a statement as the events of a Fetch."""

from collections.abc import AsyncGenerator

from connectorkit.bounds import Bounds
from connectorkit.fetching import Item, completed, table, worked
from connectorkit.pieces import Event
from connectorkit.tables import header_line, pieces
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector.cutting import RowCut, lines
from services.pg_connector.streams import Rows


def sent(
    rows: Rows, *, header: pb.Header, limits: Bounds, threads: Limiter
) -> AsyncGenerator[Event, None]:
    """The whole answer. CSV goes on as the server wrote it; all else is made of batches, which
    for CSV have the server's texts."""
    item = Item()
    if header.format == pb.FORMAT_CSV and rows.may_copy:
        head = header_line(rows.schema)
        bounded = limits.max_rows or limits.max_bytes
        work = _Csv(item, head, limits) if bounded else _WholeCsv(item, head)
        source = rows.csv(limits.max_rows, done=work.counted)
        return completed(item, worked(item, source, work, header=header, threads=threads))
    if header.format == pb.FORMAT_CSV:
        rows = rows.shown()
    batches = rows.batches(threads, limits.max_rows)
    events = table(item, batches, header=header, schema=rows.schema, limits=limits, threads=threads)
    return completed(item, events)


class _WholeCsv:
    """The server's CSV behind a header line, just as it comes: the server counts the rows."""

    truncated_by = ""

    def __init__(self, item: Item, head: bytes) -> None:
        self._item, self._head = item, head
        self._rows = 0

    def counted(self, rows: int) -> None:
        self._rows = rows

    def take(self, data: bytes) -> list[Event]:
        # lines until the server tells: a value may have several
        self._item.rows += lines(data)
        return self._pieces(data)

    def finish(self) -> list[Event]:
        self._item.rows = self._rows
        return self._pieces(b"")

    def _pieces(self, data: bytes) -> list[Event]:
        if self._head:
            data, self._head = self._head + data, b""
        return [self._item.piece(piece) for piece in pieces(data)]


class _Csv:
    """The server's CSV behind a header line, cut at the bounds."""

    def __init__(self, item: Item, head: bytes, limits: Bounds) -> None:
        self._item, self._head = item, head
        self._cut = RowCut(limits.max_rows, limits.max_bytes, len(head))
        self.truncated_by = ""

    def counted(self, rows: int) -> None:
        """It counts by itself, for it may give fewer."""

    def take(self, data: bytes) -> list[Event]:
        whole = self._cut.take(data)
        self._item.rows, self.truncated_by = self._cut.rows, self._cut.truncated_by
        return self._pieces(whole)

    def finish(self) -> list[Event]:
        return self._pieces(b"")

    def _pieces(self, data: bytes) -> list[Event]:
        if self._head:
            data, self._head = self._head + data, b""
        return [self._item.piece(piece) for piece in pieces(data)]
