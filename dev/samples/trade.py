"""Customers, orders, their lines, what came back, and how it all was shipped."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dev.samples.columns import (
    Booleans,
    Floats,
    Integers,
    Moments,
    Spans,
    Words,
    after,
    cents,
    days,
    pick,
    utc,
)

REGIONS = {
    "Nordvik": 0.22,
    "Solmark": 0.20,
    "Vestra": 0.18,
    "Ostby": 0.16,
    "Kestrel Bay": 0.13,
    "Midmark": 0.11,
}
SEGMENTS = {"retail": 0.72, "club": 0.21, "trade": 0.07}
CHANNELS = {"web": 0.58, "app": 0.24, "store": 0.14, "phone": 0.04}
# How much is ordered in each month, January first: a peak in winter, a trough in early summer.
SEASON = (1.30, 1.15, 0.90, 0.78, 0.72, 0.74, 0.80, 0.84, 0.90, 1.02, 1.35, 1.50)

LATE_CARRIER = "Halden Freight"
RETURNING_REGION = "Nordvik"
CARRIERS = {"Brevik Post": 0.42, "Lumen Express": 0.33, "Tarn Logistics": 0.25}
# The share of a region's parcels that goes with the late carrier.
LATE_CARRIER_SHARE = {RETURNING_REGION: 0.70}
LATE_CARRIER_SHARE_ELSEWHERE = 0.06
LATE = {LATE_CARRIER: 0.46}
LATE_ELSEWHERE = 0.07

REFUND_BASE = 0.045
REFUND_MORE_WHEN_LATE = 0.30
REASONS_LATE = {"late delivery": 0.66, "changed mind": 0.12, "damaged": 0.12, "wrong size": 0.10}
REASONS_ON_TIME = {
    "wrong size": 0.36,
    "not as described": 0.22,
    "damaged": 0.20,
    "changed mind": 0.19,
    "late delivery": 0.03,
}
FIRST = ("Ada", "Bo", "Cem", "Dora", "Eli", "Finn", "Gro", "Hana", "Ivo", "Juno", "Kai", "Liv")
LAST = ("Aas", "Berg", "Costa", "Dahl", "Ek", "Fors", "Grim", "Holt", "Ibsen", "Jansen", "Krog")


@dataclass(frozen=True)
class Trade:
    """One year of it. `shipments` has a row for each order that was not cancelled."""

    orders: pa.Table
    lines: pa.Table
    refunds: pa.Table
    shipments: pa.Table


@dataclass(frozen=True)
class _Delivery:
    """How each order travelled; arrays in the order of the orders."""

    carrier: Words
    shipped: Moments
    promised: Moments
    delivered: Moments

    @property
    def late(self) -> Booleans:
        """Delivered after the promised day."""
        return self.delivered.astype("datetime64[D]") > self.promised.astype("datetime64[D]")


def customers(rng: np.random.Generator, count: int) -> pa.Table:
    number = np.arange(1, count + 1, dtype=np.int32)
    names = [f"{a} {b}" for a, b in zip(*_names(rng, count), strict=True)]
    joined = rng.integers(0, 2190, count)
    addresses = [f"{name.lower().replace(' ', '.')}.{n}" for n, name in enumerate(names, start=1)]
    return pa.table(
        {
            "customer_id": number,
            "name": names,
            "email": [f"{address}@example.com" for address in addresses],
            "region": pick(rng, REGIONS, count),
            "segment": pick(rng, SEGMENTS, count),
            "newsletter": rng.random(count) < 0.41,
            "joined_on": days("2019-01-01", joined),
            "preferences": _preferences(rng, count),
            "created_at": utc(_moments(rng, "2019-01-01", joined)),
        }
    )


def _names(rng: np.random.Generator, count: int) -> tuple[Words, Words]:
    return rng.choice(FIRST, count), rng.choice(LAST, count)


def _preferences(rng: np.random.Generator, count: int) -> list[str | None]:
    """JSON; one in five customers never told."""
    languages, told = rng.choice(["en", "nb", "de"], count), rng.random(count) < 0.8
    sizes = rng.choice(["S", "M", "L", "XL"], count)
    return [
        json.dumps({"language": str(language), "size": str(size)}) if known else None
        for language, size, known in zip(languages, sizes, told, strict=True)
    ]


def trade(rng: np.random.Generator, count: int, clients: pa.Table, products: pa.Table) -> Trade:
    ordered = _ordered(rng, count)
    client = rng.integers(0, clients.num_rows, count)
    region = clients["region"].to_numpy(zero_copy_only=False)[client].astype(str)
    lines, total = _lines(rng, count, products)
    cancelled = rng.random(count) < 0.02
    delivery = _deliver(rng, ordered, region)
    returned = _returned(rng, delivery, cancelled)
    status = np.where(cancelled, "cancelled", np.where(returned, "returned", "completed"))
    orders = pa.table(
        {
            "order_id": np.arange(1, count + 1, dtype=np.int64),
            "customer_id": (client + 1).astype(np.int32),
            "region": region,
            "channel": pick(rng, CHANNELS, count),
            "status": status,
            "gift": rng.random(count) < 0.09,
            "total": total,
            "ordered_at": utc(ordered),
        }
    )
    shipments = _shipments(rng, delivery, region, lines).filter(pa.array(~cancelled))
    return Trade(orders, lines, _refunds(rng, delivery, returned, total), shipments)


def _ordered(rng: np.random.Generator, count: int) -> Moments:
    """When the orders came in, earliest first."""
    first = np.arange("2025-01", "2026-01", dtype="datetime64[M]").astype("datetime64[D]")
    last = np.append(first[1:], np.datetime64("2026-01-01"))
    share = np.array(SEASON) / sum(SEASON)
    month = rng.choice(12, size=count, p=share)
    length = (last - first).astype(np.int64)[month]
    day = first[month] + (rng.random(count) * length).astype("timedelta64[D]")
    moments: Moments = day.astype("datetime64[s]") + _time_of_day(rng, count)
    return np.sort(moments)


def _time_of_day(rng: np.random.Generator, count: int) -> Spans:
    """Mostly in the evening."""
    hour = np.clip(rng.normal(17.0, 4.0, count), 0.0, 23.99)
    return (hour * 3600.0).astype("timedelta64[s]")


def _moments(rng: np.random.Generator, first: str, after_days: Integers) -> Moments:
    day = np.datetime64(first, "D") + after_days.astype("timedelta64[D]")
    moments: Moments = day.astype("datetime64[s]")
    return moments + _time_of_day(rng, len(after_days))


def _lines(rng: np.random.Generator, orders: int, products: pa.Table) -> tuple[pa.Table, Floats]:
    """The lines of all orders, and what each order comes to."""
    per_order = 1 + rng.poisson(1.5, orders)
    order = np.repeat(np.arange(orders), per_order)
    first = np.repeat(np.cumsum(per_order) - per_order, per_order)
    product = (rng.beta(0.9, 2.2, len(order)) * products.num_rows).astype(np.int32)
    quantity = 1 + rng.poisson(0.35, len(order))
    price: Floats = products["price"].to_numpy()[product]
    unit = cents(price * np.where(rng.random(len(order)) < 0.15, 0.9, 1.0))
    amount = cents(unit * quantity.astype(np.float64))
    lines = pa.table(
        {
            "order_id": order.astype(np.int64) + 1,
            "line_no": (1 + np.arange(len(order)) - first).astype(np.int16),
            "product_id": product + np.int32(1),
            "quantity": quantity.astype(np.int16),
            "unit_price": unit,
            "amount": amount,
        }
    )
    total = np.bincount(order, weights=amount, minlength=orders)
    return lines, cents(total.astype(np.float64))


def _deliver(rng: np.random.Generator, ordered: Moments, region: Words) -> _Delivery:
    count = len(ordered)
    chance = np.full(count, LATE_CARRIER_SHARE_ELSEWHERE)
    for name, share in LATE_CARRIER_SHARE.items():
        chance[region == name] = share
    carrier = np.where(rng.random(count) < chance, LATE_CARRIER, pick(rng, CARRIERS, count))
    late = rng.random(count) < np.where(carrier == LATE_CARRIER, LATE[LATE_CARRIER], LATE_ELSEWHERE)
    shipped = after(ordered, rng.uniform(0.3, 1.6, count))
    promised = after(ordered, np.full(count, 5.0))
    margin = np.where(late, rng.gamma(2.0, 1.6, count) + 1.0, -rng.uniform(0.2, 2.6, count))
    return _Delivery(carrier, shipped, promised, after(promised, margin))


def _returned(rng: np.random.Generator, delivery: _Delivery, cancelled: Booleans) -> Booleans:
    chance = REFUND_BASE + REFUND_MORE_WHEN_LATE * delivery.late
    return (rng.random(len(chance)) < chance) & ~cancelled


def _refunds(
    rng: np.random.Generator, delivery: _Delivery, returned: Booleans, total: Floats
) -> pa.Table:
    order = np.flatnonzero(returned)
    late = delivery.late[order]
    reason = np.where(
        late, pick(rng, REASONS_LATE, len(order)), pick(rng, REASONS_ON_TIME, len(order))
    )
    whole = rng.random(len(order)) < 0.7
    share = np.where(whole, 1.0, rng.uniform(0.2, 0.8, len(order)))
    return pa.table(
        {
            "refund_id": np.arange(1, len(order) + 1, dtype=np.int64),
            "order_id": order.astype(np.int64) + 1,
            "reason": reason,
            "amount": np.maximum(cents(total[order] * share), 0.01),
            "restocked": (reason != "damaged") & (rng.random(len(order)) < 0.9),
            "refunded_at": utc(after(delivery.delivered[order], rng.gamma(2.0, 3.0, len(order)))),
        }
    )


def _shipments(
    rng: np.random.Generator, delivery: _Delivery, region: Words, lines: pa.Table
) -> pa.Table:
    pieces = np.bincount(lines["order_id"].to_numpy() - 1, lines["quantity"].to_numpy())
    weight = np.round(pieces * rng.lognormal(0.1, 0.5, len(region)), 2)
    return pa.table(
        {
            "order_id": np.arange(1, len(region) + 1, dtype=np.int64),
            "carrier": delivery.carrier,
            "region": region,
            "shipped_at": utc(delivery.shipped),
            "promised_at": utc(delivery.promised),
            "delivered_at": utc(delivery.delivered),
            "weight_kg": weight,
            "cost": cents(3.9 + weight * rng.uniform(0.7, 1.1, len(region))),
        }
    )
