"""Columns out of random draws."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Words = npt.NDArray[np.str_]
Moments = npt.NDArray[np.datetime64]
Spans = npt.NDArray[np.timedelta64]

SECONDS_A_DAY = 24 * 60 * 60


def cents(amount: Floats) -> Floats:
    """Money: two decimals."""
    return np.round(amount, 2)


def days(first: str, after: npt.NDArray[Any]) -> pa.Array:
    """Dates some days after the first."""
    return pa.array(np.datetime64(first, "D") + after.astype("timedelta64[D]"), pa.date32())


def utc(moments: Moments) -> pa.Array:
    """Instants, told as UTC."""
    return pa.array(moments.astype("datetime64[s]").astype("datetime64[us]")).cast(
        pa.timestamp("us", tz="UTC")
    )


def after(moments: Moments, by_days: Floats) -> Moments:
    """Instants some days, or parts of a day, later."""
    spans: Spans = (by_days * SECONDS_A_DAY).astype("timedelta64[s]")
    later: Moments = moments + spans
    return later


def pick(rng: np.random.Generator, weights: Mapping[str, float], count: int) -> Words:
    """Words in the proportion of their weights."""
    share = np.array(list(weights.values()), dtype=np.float64)
    return rng.choice(np.array(list(weights)), size=count, p=share / share.sum())
