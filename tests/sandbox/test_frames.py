"""What a query's result becomes in code."""

from decimal import Decimal

import pyarrow as pa
import pytest

from services.sandbox.kernel.shapes import frame


@pytest.mark.req("X1", "P3")
def test_numerics_become_floats_that_can_be_computed_with() -> None:
    told = {b"type": b"numeric"}
    schema = pa.schema(
        [
            pa.field("amount", pa.decimal128(12, 2)),
            pa.field("total", pa.string(), metadata=told),
            pa.field("name", pa.string()),
            pa.field("n", pa.int64()),
        ]
    )
    rows = [[Decimal("1.25"), None], ["10.5", "NaN"], ["1.5", "x"], [1, 2]]
    columns = [pa.array(values, field.type) for values, field in zip(rows, schema, strict=True)]
    made = frame(pa.table(columns, schema=schema))
    assert made["amount"].sum() == 1.25
    assert made["total"].sum() == 10.5
    assert made["name"].tolist() == ["1.5", "x"]
    assert made["n"].tolist() == [1, 2]
