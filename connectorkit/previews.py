"""The first rows of a selection as one message."""

import pyarrow as pa

from connectorkit.fetching import fitting
from connectorkit.tables import ArrowEncoder, columns
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField

MAX_ROWS = 1000
DEFAULT_ROWS = 10
MAX_BYTES = 4 * 1024 * 1024


def rows_wanted(request: pb.PreviewRequest) -> int:
    """Raises InvalidField outside of 0 … 1,000."""
    if not 0 <= request.rows <= MAX_ROWS:
        raise InvalidField("rows", f"a preview has 1 to {MAX_ROWS} rows")
    return request.rows or DEFAULT_ROWS


def preview(table: pa.Table, rows: int, *, more: bool = False) -> pb.PreviewResponse:
    """At most so many rows, and at most 4 MiB. `more` = the source has more than the table."""
    file = ArrowEncoder(table.schema)
    wanted = table.slice(0, rows).combine_chunks().to_batches()
    kept = [fitting(file, batch, MAX_BYTES - file.overhead_bytes) for batch in wanted]
    parts = [piece for batch in kept if batch.num_rows for piece in file.write(batch)]
    given = sum(batch.num_rows for batch in kept)
    return pb.PreviewResponse(
        columns=columns(table.schema),
        arrow=b"".join(parts + file.finish()),
        truncated=more or given < table.num_rows,
    )
