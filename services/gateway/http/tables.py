"""Arrow as the rows of a JSON answer."""

import base64
import math
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa


def rows(stream: bytes) -> tuple[list[dict[str, str]], list[list[Any]]]:
    """Columns and rows of an Arrow IPC stream. Blocking."""
    table = pa.ipc.open_stream(pa.BufferReader(stream)).read_all()
    columns = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    values = [[jsonable(value) for value in column.to_pylist()] for column in table.columns]
    return columns, [list(row) for row in zip(*values, strict=True)]


def jsonable(value: Any) -> Any:
    """A value as JSON can say it: what it has no exact word for (decimals, times, NaN) as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():f}".rstrip("0").rstrip(".") + "S"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [jsonable(each) for each in value]
    return str(value)
