"""What the rows of a source become in code: a DataFrame, or a file."""

import importlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
