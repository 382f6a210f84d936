"""What was planned for the year, as controllers keep it: targets in a CSV, contracts in Excel.

- Targets are what each region should sell in each month, after its own season, net of returns;
- Nordvik was given the largest step up;
- Halden Freight's contract allows it to be late far less often than it is.
"""

import io
from collections.abc import Mapping

import numpy as np
import openpyxl
import pyarrow as pa

from dev.samples.columns import cents
from dev.samples.trade import CARRIERS, LATE_CARRIER, REGIONS, RETURNING_REGION, SEASON
from dev.workbooks import timeless

# of its own: what is drawn here changes nothing of the rest
SEED = 20250118
# what the whole company meant to sell in the year
PLANNED = 36_000_000.0
# above what last year would let one expect
STEP_UP = {RETURNING_REGION: 1.18}
STEP_UP_ELSEWHERE = 1.05
# carrier: share of parcels that may be late, euros for each one above it, a month's notice
CONTRACTS: Mapping[str, tuple[float, float, int]] = {
    LATE_CARRIER: (0.10, 2.50, 6),
    **dict.fromkeys(CARRIERS, (0.08, 1.5, 3)),
}


def targets(year: int) -> pa.Table:
    """A row for each month and region: `month` ("2025-01"), `region`, `target_sales`."""
    rng = np.random.default_rng(SEED)
    months = [f"{year}-{number:02}" for number in range(1, 13)]
    share = np.array(SEASON) / sum(SEASON)
    rows = [
        (month, region, PLANNED * part * weight * STEP_UP.get(region, STEP_UP_ELSEWHERE))
        for month, part in zip(months, share, strict=True)
        for region, weight in REGIONS.items()
    ]
    amounts = np.array([amount for _, _, amount in rows])
    amounts *= rng.normal(1.0, 0.02, len(rows))
    return pa.table(
        {
            "month": [month for month, _, _ in rows],
            "region": [region for _, region, _ in rows],
            "target_sales": cents(np.round(amounts, -2)),
        }
    )


def contracts() -> bytes:
    """A workbook: the sheet `Contracts`, a row for each carrier, and `Notes`."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Contracts"
    sheet.append(["carrier", "agreed_late_share", "penalty_eur_per_parcel", "notice_months"])
    for carrier, terms in CONTRACTS.items():
        sheet.append([carrier, *terms])
    notes = book.create_sheet("Notes")
    notes.append(["Late is: delivered after the promised day. Penalties are settled by quarter."])
    content = io.BytesIO()
    book.save(content)
    return timeless(content)
