"""Visits to the shop's website."""

import numpy as np
import pyarrow as pa

from dev.samples.columns import pick, utc
from dev.samples.trade import REGIONS

DEVICES = {"phone": 0.61, "desktop": 0.31, "tablet": 0.08}
REFERRERS = {"search": 0.44, "direct": 0.27, "newsletter": 0.17, "social": 0.12}
SECONDS_A_YEAR = 365 * 24 * 60 * 60


def sessions(rng: np.random.Generator, count: int, products: int) -> pa.Table:
    """Visits over the year, earliest first; a visit without a product has none named."""
    started = np.datetime64("2025-01-01", "s") + np.sort(
        rng.integers(0, SECONDS_A_YEAR, count)
    ).astype("timedelta64[s]")
    pages = 1 + rng.geometric(0.25, count)
    product = rng.integers(1, products + 1, count)
    return pa.table(
        {
            "session_id": [f"s{number:07}" for number in range(count)],
            "started_at": utc(started),
            "region": pick(rng, REGIONS, count),
            "device": pick(rng, DEVICES, count),
            "referrer": pick(rng, REFERRERS, count),
            "pages": pages,
            "seconds": (pages * rng.gamma(2.0, 22.0, count)).astype(np.int64),
            "product_id": pa.array(product, mask=pages < 3),
            "converted": rng.random(count) < 0.004 * np.minimum(pages, 20),
        }
    )
