"""Arrow tables as JSON values."""

import base64
import datetime
import decimal
from typing import Any

import pyarrow as pa


def rows_of(stream: bytes) -> dict[str, Any]:
    """`{"columns": [{"name", "type"}], "rows": [[…]]}` of an Arrow IPC stream."""
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    columns = [{"name": each.name, "type": str(each.type)} for each in table.schema]
    values = [column.to_pylist() for column in table.columns]
    rows = [[json_value(cell) for cell in row] for row in zip(*values, strict=True)]
    return {"columns": columns, "rows": rows}


def json_value(value: Any) -> Any:
    """A cell in JSON: numerics as text, so that no digit is lost; bytes in base 64."""
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, list):
        return [json_value(each) for each in value]
    if isinstance(value, dict):
        return {key: json_value(each) for key, each in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
