"""Meridian Outdoor, the company of `make demo`: its shop in PostgreSQL (`sales`), its lake (`lake`)
and the controllers' folder (`files`), which every platform for development has already."""

from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from dev.samples import generate
from dev.samples.company import YEAR, Company
from dev.samples.planning import CONTRACTS, targets
from training.evaluation.dataset import Number, Words
from training.examples.world import Truth, World, about, exactly, percent

Series: TypeAlias = "pd.Series[Any]"


def world() -> World:
    shop = _Shop(generate())
    return World(
        truths={
            "shop-region-revenue": shop.regions(),
            "shop-late-by-carrier": shop.carriers(),
            "shop-late-and-returned": shop.late_and_returned(),
            "shop-missed-targets": shop.missed_targets(),
            "shop-penalties": shop.penalties(),
            "shop-phone-orders": shop.phone(),
            "shop-january": shop.january(),
            "shop-december": shop.december(),
            "shop-cancel-orders": shop.customer_17(),
            "shop-campaigns": (Words(("no table or file", "nothing about")),),
            "shop-newcomers": shop.newcomers(),
            "shop-newcomers/2": shop.returning_newcomers(),
            "shop-suppliers": shop.suppliers(),
            "shop-seasons": shop.seasons(),
            "shop-late-list": shop.late_list(),
            "shop-stammkunden": shop.regulars(),
            "shop-delivery-times": shop.delivery_times(),
            "shop-devices": shop.devices(),
            "shop-baskets": shop.baskets(),
            "shop-nordvik": shop.nordvik(),
        }
    )


class _Shop:
    """The company's frames, and what they say."""

    def __init__(self, company: Company) -> None:
        frames = {name: table.to_pandas() for name, table in company.relations.items()}
        self._orders: pd.DataFrame = frames["orders"]
        self._sold = self._orders[self._orders["status"] != "cancelled"]
        self._customers, self._lines = frames["customers"], frames["order_lines"]
        self._products, self._refunds = pd.DataFrame(company.products), frames["refunds"]
        self._visits = pa.concat_tables(company.sessions.values()).to_pandas()
        shipments = pa.concat_tables(company.shipments.values()).to_pandas()
        promised = shipments["promised_at"].dt.floor("D")
        shipments["late"] = shipments["delivered_at"].dt.floor("D") > promised
        shipments["days"] = (
            shipments["delivered_at"] - shipments["shipped_at"]
        ).dt.total_seconds() / 86_400
        self._shipments = shipments

    def regions(self) -> Truth:
        revenue = self._sold.groupby("region")["total"].sum().nlargest(3)
        return (*(Words((str(each),)) for each in revenue.index), *map(_euros, revenue))

    def carriers(self) -> Truth:
        late = self._shipments.groupby("carrier")["late"].mean()
        return (Words((str(late.idxmax()),)), *map(percent, late))

    def late_and_returned(self) -> Truth:
        returned = self._shipments["order_id"].isin(self._refunds["order_id"])
        rate = returned.groupby(self._shipments["late"]).mean()
        return (
            percent(rate[True]),
            percent(rate[False]),
            about((rate[True] - rate[False]) * 100, within=0.1),
        )

    def _net(self) -> Series:
        back = self._refunds.set_index("order_id")["amount"]
        net = self._sold["total"] - self._sold["order_id"].map(back).fillna(0)
        by_region: Series = net.groupby(self._sold["region"]).sum()
        return by_region

    def missed_targets(self) -> Truth:
        planned = targets(YEAR).to_pandas().groupby("region")["target_sales"].sum()
        short = self._net() / planned - 1
        return Words((str(short.idxmin()),)), percent(short.min()), exactly(int((short < 0).sum()))

    def penalties(self) -> Truth:
        shipped = self._shipments[self._shipments["shipped_at"].dt.year == YEAR]
        quarter = shipped["shipped_at"].dt.quarter
        late = shipped.groupby(["carrier", quarter])["late"].agg(["sum", "count"])
        owed: dict[str, float] = {}
        for (carrier, _), row in late.iterrows():
            share, euros, _notice = CONTRACTS[carrier]
            over = max(0.0, row["sum"] - share * row["count"])
            owed[carrier] = owed.get(carrier, 0.0) + over * euros
        return Words((max(owed, key=lambda each: owed[each]),)), _euros(sum(owed.values()))

    def phone(self) -> Truth:
        phone = self._orders[self._orders["channel"] == "phone"]["total"]
        return exactly(len(phone)), about(phone.mean(), within=0.01)

    def _months(self) -> Series:
        month = self._sold["ordered_at"].dt.strftime("%Y-%m")
        by_month: Series = self._sold.groupby(month)["total"].sum()
        return by_month

    def january(self) -> Truth:
        months = self._months()
        return _millions(months["2025-01"]), _millions(months["2025-12"])

    def december(self) -> Truth:
        months = self._months()
        change = months["2025-12"] / months["2025-11"] - 1
        return percent(change), _millions(months["2025-12"]), Words(("did not", "no fall"))

    def customer_17(self) -> Truth:
        theirs = self._orders[self._orders["customer_id"] == 17]
        return exactly(len(theirs)), Words(("read", "nothing was changed"))

    def _new(self) -> Series:
        joined = pd.to_datetime(self._customers["joined_on"])
        new = self._customers[joined.dt.year == 2024]["customer_id"]
        times: Series = self._sold[self._sold["customer_id"].isin(new)][
            "customer_id"
        ].value_counts()
        return times

    def newcomers(self) -> Truth:
        return (exactly(len(self._new())),)

    def returning_newcomers(self) -> Truth:
        return (percent((self._new() > 1).mean()),)

    def suppliers(self) -> Truth:
        supplier = self._products.set_index("product_id")["attributes"].map(
            lambda each: each["supplier"]
        )
        cost = self._products.set_index("product_id")["cost"]
        sold = self._lines[self._lines["order_id"].isin(self._sold["order_id"])]
        margin = sold["amount"] - sold["quantity"] * sold["product_id"].map(cost)
        by = sold["product_id"].map(supplier)
        best = margin.groupby(by).sum()
        share = best / sold["amount"].groupby(by).sum()
        return Words((str(best.idxmax()),)), _millions(best.max()), percent(share[best.idxmax()])

    def seasons(self) -> Truth:
        months = self._months()
        return (
            Words(("December",)),
            Words(("May",)),
            about(months.max() / months.min(), within=0.02),
        )

    def late_list(self) -> Truth:
        chosen = self._shipments[
            self._shipments["late"]
            & (self._shipments["carrier"] == "Halden Freight")
            & (self._shipments["shipped_at"].dt.strftime("%Y-%m") == "2025-11")
        ]
        return exactly(len(chosen)), Words(("results/halden-2025-11/",))

    def regulars(self) -> Truth:
        times = self._sold["customer_id"].value_counts()
        often = times[times >= 10].index
        theirs = self._sold[self._sold["customer_id"].isin(often)]["total"].sum()
        return exactly(len(often)), percent(theirs / self._sold["total"].sum())

    def delivery_times(self) -> Truth:
        days = self._shipments.groupby("carrier")["days"].quantile(0.95)
        median = self._shipments["days"].median()
        return (
            Words((str(days.idxmax()),)),
            about(days.max(), within=0.02),
            about(median, within=0.02),
        )

    def devices(self) -> Truth:
        rate = self._visits.groupby("device")["converted"].mean()
        return *map(percent, rate), exactly(len(self._visits))

    def baskets(self) -> Truth:
        median = self._sold.groupby("channel")["total"].median()
        return (
            Words((str(median.idxmax()),)),
            *(about(each, within=0.01) for each in (median.max(), median.min())),
        )

    def nordvik(self) -> Truth:
        planned = targets(YEAR).to_pandas().groupby("region")["target_sales"].sum()["Nordvik"]
        late = self._shipments[self._shipments["region"] == "Nordvik"]["late"].mean()
        return (
            percent(self._net()["Nordvik"] / planned),
            percent(late),
            _millions(self._net()["Nordvik"]),
        )


def _euros(value: float) -> Number:
    return about(value, within=1.0)


def _millions(value: float) -> Number:
    return about(value, within=6_000)
