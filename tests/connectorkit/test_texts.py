import pyarrow as pa
import pytest

from connectorkit.profiles import profile
from connectorkit.texts import text_array

# the first day that PostgreSQL has, and the last moment that Arrow has
DAY = pa.array([-2_440_588, None], pa.int32()).cast(pa.date32())
MOMENT = pa.array([2**63 - 1, None], pa.int64()).cast(pa.timestamp("us", "UTC"))


@pytest.mark.req("P3")
@pytest.mark.parametrize(
    ("column", "text"), [(DAY, "-4713-11-24"), (MOMENT, "294247-01-10 04:00:54.775807+00:00")]
)
def test_dates_that_python_does_not_hold_are_written(column: pa.Array, text: str) -> None:
    assert text_array(column).to_pylist() == [text, None]
    lists = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), column)
    assert text_array(lists).to_pylist() == [f'["{text}", null]']


@pytest.mark.req("P4")
def test_profile_of_dates_that_python_does_not_hold() -> None:
    (day,) = profile(pa.table({"day": DAY}))
    assert (day.minimum, day.maximum, day.distinct) == ("-4713-11-24", "-4713-11-24", 1)
    assert [each.value for each in day.top_values] == ["-4713-11-24"]
