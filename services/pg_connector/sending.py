"""The rows of a statement as the events of a Fetch."""

from collections.abc import AsyncGenerator

from connectorkit.bounds import Bounds
from connectorkit.fetching import Item, completed, table, worked
from connectorkit.tables import header_line, pieces
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.pg_connector.cutting import RowCut
from services.pg_connector.streams import Rows


def sent(
    rows: Rows, *, header: pb.Header, limits: Bounds, threads: Limiter
) -> AsyncGenerator[pb.FetchResponse, None]:
    """The whole answer. CSV goes on as the server wrote it; all else is made of batches."""
    item = Item()
    if header.format == pb.FORMAT_CSV and rows.may_copy:
        work = _Csv(item, header_line(rows.schema), limits)
        source = rows.csv(limits.max_rows)
        return completed(item, worked(item, source, work, header=header, threads=threads))
    batches = rows.batches(threads, limits.max_rows)
    events = table(item, batches, header=header, schema=rows.schema, limits=limits, threads=threads)
    return completed(item, events)


class _Csv:
    """The server's CSV behind a header line, cut at the bounds."""

    def __init__(self, item: Item, head: bytes, limits: Bounds) -> None:
        self._item, self._head = item, head
        self._cut = RowCut(limits.max_rows, limits.max_bytes, len(head))
        self.truncated_by = ""

    def take(self, data: bytes) -> list[pb.FetchResponse]:
        whole = self._cut.take(data)
        self._item.rows, self.truncated_by = self._cut.rows, self._cut.truncated_by
        return self._pieces(whole)

    def finish(self) -> list[pb.FetchResponse]:
        return self._pieces(b"")

    def _pieces(self, data: bytes) -> list[pb.FetchResponse]:
        if self._head:
            data, self._head = self._head + data, b""
        return [self._item.piece(piece) for piece in pieces(data)]
