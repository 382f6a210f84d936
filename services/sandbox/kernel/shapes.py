"""What the rows of a source become in code: a DataFrame, or a file."""

import importlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

# of a table that is shown
_SHOWN_ROWS, _SHOWN_BYTES = 10_000, 1024 * 1024

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def frame(table: "pa.Table") -> "pd.DataFrame":
    """A DataFrame to compute with: exact numerics become floats. `as_="arrow"` keeps their digits.

    A numeric without declared digits (a sum, an average) comes as text, whose field says what the
    source calls it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for at, field in enumerate(table.schema):
        told = (field.metadata or {}).get(b"type", b"")
        if pa.types.is_decimal(field.type) or (
            told.startswith(b"numeric") and pa.types.is_string(field.type)
        ):
            table = table.set_column(at, field.name, pc.cast(table.column(at), pa.float64()))
    made: pd.DataFrame = table.to_pandas()
    return made


def displayed(shown: "pd.DataFrame") -> bytes | None:
    """Its first rows as an Arrow stream, for clients that show tables by themselves; the schema's
    metadata has `rows`, how many there are. None for what Arrow cannot hold."""
    import pyarrow as pa

    try:
        table = pa.Table.from_pandas(shown.head(_SHOWN_ROWS))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    while table.nbytes > _SHOWN_BYTES and table.num_rows > 1:
        table = table.slice(0, max(1, int(table.num_rows * _SHOWN_BYTES / table.nbytes / 2)))
    if table.nbytes > _SHOWN_BYTES:
        return None
    told = {**(table.schema.metadata or {}), b"rows": str(len(shown)).encode()}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(told)) as writer:
        writer.write_table(table.replace_schema_metadata(told))
    return bytes(sink.getvalue().to_pybytes())


def written(reader: "pa.RecordBatchStreamReader", name: str) -> str:
    """A file that was not there before. What failed halfway leaves none."""
    import pyarrow.parquet as pq

    stem = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    path = next(p for n in numbers if not (p := Path(f"{stem}{n}.parquet")).exists())
    try:
        with pq.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return str(path)


def polars(table: "pa.Table") -> Any:
    try:
        library = importlib.import_module("polars")
    except ModuleNotFoundError:
        raise ImportError(
            'polars is not part of this sandbox: use as_="pandas" or as_="arrow"'
        ) from None
    return library.from_arrow(table)
