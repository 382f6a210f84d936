"""What the footers of Parquet files say of their columns. Blocking: call it in a thread."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# of others the footer holds bytes, or what a writer may have cut short
_ORDERED = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_time,
    pa.types.is_boolean,
)


class _Empty:
    """Of a part that has no value at all: it changes no extent."""


_EMPTY = _Empty()


@dataclass(frozen=True)
class Extent:
    """Of one column, over all its rows. None = not told."""

    nulls: int | None = None
    least: Any = None
    greatest: Any = None

    @property
    def known(self) -> bool:
        """Whether least and greatest are told."""
        return self.least is not None and self.least is not _EMPTY


def extents_of(file: io.RawIOBase) -> Mapping[str, Extent]:
    """By column; nested ones are left out. Raises ArrowException."""
    known = pq.ParquetFile(file)
    groups = [known.metadata.row_group(at) for at in range(known.metadata.num_row_groups)]
    found: dict[str, Extent] = {}
    for at in range(known.metadata.num_columns):
        name = known.metadata.schema.column(at).path
        if name in known.schema_arrow.names:
            kind = known.schema_arrow.field(name).type
            found[name] = whole([_chunk(group.column(at), kind) for group in groups])
    return found


def _chunk(chunk: Any, kind: pa.DataType) -> Extent:
    if not chunk.num_values:
        return Extent(0, _EMPTY, _EMPTY)
    told = chunk.statistics if chunk.is_stats_set else None
    if told is None:
        return Extent()
    nulls = told.null_count if told.has_null_count else None
    if nulls == chunk.num_values:
        return Extent(nulls, _EMPTY, _EMPTY)
    if not told.has_min_max or not any(holds(kind) for holds in _ORDERED):
        return Extent(nulls)
    return Extent(nulls, told.min, told.max)


def whole(parts: Sequence[Extent]) -> Extent:
    """Of all parts together; what one of them does not tell is not told."""
    nulls = [part.nulls for part in parts]
    filled = [part for part in parts if part.least is not _EMPTY]
    count = sum(each or 0 for each in nulls) if None not in nulls else None
    if not filled:
        return Extent(count, _EMPTY, _EMPTY)
    if not all(part.known for part in filled):
        return Extent(count)
    least, greatest = min(part.least for part in filled), max(part.greatest for part in filled)
    return Extent(count, least, greatest)
