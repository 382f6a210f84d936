"""A query's result as a table, for whichever library of data frames is there."""

import importlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isobath.connector.v1 import connector_pb2 as connector

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TABLE_ENDINGS = (".csv", ".parquet", ".arrow")


class Table:
    """Rows of a query, a relation or a file: one Arrow IPC stream, read when it is asked for.

    `columns` have `name`, `type` (as the source writes it) and `arrow_type`. `truncated_by` says
    what cut the rows, such as "row limit of 10000"; empty = nothing did. `polars.DataFrame(table)`,
    `duckdb.sql("FROM table")` and others that know Arrow's C stream interface take it as it is.
    """

    def __init__(
        self, arrow: bytes, columns: Sequence[connector.Column] = (), truncated_by: str = ""
    ) -> None:
        self.arrow = arrow
        self.columns = tuple(columns)
        self.truncated_by = truncated_by

    @property
    def truncated(self) -> bool:
        """More rows are there than these."""
        return bool(self.truncated_by)

    def to_arrow(self) -> "pa.Table":
        """As `pyarrow.Table`. Raises ImportError without pyarrow."""
        return _library("pyarrow.ipc").open_stream(self.arrow).read_all()

    def to_pandas(self) -> "pd.DataFrame":
        """As `pandas.DataFrame`. Raises ImportError without pandas and pyarrow."""
        _library("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> Any:
        """As `polars.DataFrame`. Raises ImportError without polars."""
        return _library("polars").read_ipc_stream(io.BytesIO(self.arrow))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        cut = f", cut by {self.truncated_by}" if self.truncated_by else ""
        return f"Table({names}{cut})"

    def _repr_html_(self) -> str | None:
        try:
            html: str = self.to_pandas()._repr_html_()  # type: ignore[operator]
        except ImportError:
            return None
        return html


def arrow_of(name: str, content: bytes) -> "pa.Table":
    """A file of Arrow, Parquet or CSV, by its name. Raises ImportError without pyarrow, ValueError
    for other files."""
    if name.endswith(".arrow"):
        return _library("pyarrow.ipc").open_stream(content).read_all()
    source = io.BytesIO(content)
    if name.endswith(".parquet"):
        return _library("pyarrow.parquet").read_table(source)
    if name.endswith(".csv"):
        return _library("pyarrow.csv").read_csv(source)
    raise ValueError(f"{name} is no table: those end in {', '.join(TABLE_ENDINGS)}")


def pandas_of(name: str, content: bytes) -> "pd.DataFrame":
    """The same as a DataFrame; of CSV pandas alone is needed."""
    pandas = _library("pandas")
    csv = name.endswith(".csv")
    frame: pd.DataFrame = (
        pandas.read_csv(io.BytesIO(content)) if csv else arrow_of(name, content).to_pandas()
    )
    return frame


def _library(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as absent:
        package = module.partition(".")[0]
        raise ImportError(f"this takes {package}: pip install {package}") from absent
