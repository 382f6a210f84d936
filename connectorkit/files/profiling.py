"""Statistics of a table: from footers as far as they tell, from a stated sample for the rest."""

from collections.abc import Mapping

import pyarrow as pa

from connectorkit import texts
from connectorkit.files.footers import Extent
from connectorkit.files.tables import M, Sample, Table
from connectorkit.profiles import profile
from isobath.connector.v1 import connector_pb2 as pb

# more of them are read than are shown
ROWS = 20_000


def profiled(table: Table[M], sample: Sample, extents: Mapping[str, Extent]) -> pb.ProfileResponse:
    """For a thread."""
    seen = sample.rows.num_rows
    columns = profile(sample.rows)
    told = bool(extents) and table.rows is not None and sample.more
    for column in columns if told else ():
        if (extent := extents.get(column.name)) is not None:
            kind = table.schema.field(column.name).type
            _widen(column, extent, kind, table.rows or 0)
    response = pb.ProfileResponse(
        rows=table.rows if sample.more else seen,
        basis=_basis(seen, more=sample.more, footers=told),
        sampled_rows=seen if sample.more else None,
        columns=columns,
    )
    response.taken_at.GetCurrentTime()
    return response


def _basis(seen: int, *, more: bool, footers: bool) -> str:
    if not more:
        return "exact"
    sampled = f"sample of the first {seen:,} rows"
    if not footers:
        return sampled
    return f"{sampled}; exact by the footers: rows, nulls, ends of numbers and times"


def _widen(column: pb.ColumnProfile, extent: Extent, kind: pa.DataType, rows: int) -> None:
    """What the footers tell in the place of what the sample does."""
    if extent.nulls is not None and rows:
        column.null_fraction = extent.nulls / rows
    if extent.known:
        column.minimum = _written(extent.least, kind)
        column.maximum = _written(extent.greatest, kind)


def _written(value: object, kind: pa.DataType) -> str:
    return texts.as_text(pa.scalar(value).cast(kind).as_py()) or ""
