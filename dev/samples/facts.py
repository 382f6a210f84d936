"""The true answers, computed straight from the company's tables: what a good analyst would find."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from dev.samples.company import Company, generate


@dataclass(frozen=True)
class Facts:
    """Shares are of 1, each mapping has the largest first."""

    orders: int
    refunds: int
    return_rate_by_region: Mapping[str, float]
    late_rate_by_carrier: Mapping[str, float]
    carrier_share_in_top_region: Mapping[str, float]
    return_rate_by_lateness: Mapping[bool, float]
    late_reason_share_by_lateness: Mapping[bool, float]
    orders_by_month: Mapping[str, int]

    @property
    def worst_region(self) -> str:
        """Which region returns most."""
        return next(iter(self.return_rate_by_region))

    @property
    def late_carrier(self) -> str:
        """Which carrier is late most."""
        return next(iter(self.late_rate_by_carrier))


def facts_of_seed() -> Facts:
    """The answers for the company that `make demo` and `make up` load."""
    return facts(generate())


def facts(company: Company) -> Facts:
    """Compute them all: a second or so for the whole company."""
    orders = company.relations["orders"].to_pandas()
    refunds = company.relations["refunds"].to_pandas()
    shipments = pa.concat_tables(company.shipments.values()).to_pandas()
    orders["returned"] = orders["order_id"].isin(refunds["order_id"])
    late = shipments["delivered_at"].dt.floor("D") > shipments["promised_at"].dt.floor("D")
    shipments["late"] = late
    joined = shipments.merge(orders[["order_id", "returned"]], on="order_id")
    returned = refunds.merge(shipments[["order_id", "late"]], on="order_id")
    by_region = _rate(orders, "region", "returned")
    top = joined[joined["region"] == next(iter(by_region))]
    return Facts(
        orders=len(orders),
        refunds=len(refunds),
        return_rate_by_region=by_region,
        late_rate_by_carrier=_rate(shipments, "carrier", "late"),
        carrier_share_in_top_region=top["carrier"].value_counts(normalize=True).to_dict(),
        return_rate_by_lateness=_rate(joined, "late", "returned"),
        late_reason_share_by_lateness=_rate(
            returned.assign(blamed=returned["reason"] == "late delivery"), "late", "blamed"
        ),
        orders_by_month=orders["ordered_at"].dt.strftime("%Y-%m").value_counts().to_dict(),
    )


def _rate(frame: pd.DataFrame, by: str, what: str) -> dict[Any, float]:
    rates = frame.groupby(by)[what].mean().sort_values(ascending=False)
    return {key: float(value) for key, value in rates.items()}
