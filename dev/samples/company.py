"""The company as Arrow tables: what lies in PostgreSQL, and what lies in Blob Storage."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dev.samples import catalogue, trade, web

SEED = 20250117
YEAR = 2025
MONTHS = tuple(f"{YEAR}-{month:02}" for month in range(1, 13))


@dataclass(frozen=True)
class Company:
    """`relations` by name in the order in which foreign keys let them be filled; `shipments` and
    `sessions` by month ("2025-01"); `products` as the catalogue's JSON documents."""

    relations: Mapping[str, pa.Table]
    shipments: Mapping[str, pa.Table]
    sessions: Mapping[str, pa.Table]
    products: list[dict[str, object]]


def generate(*, orders: int = 80_000, customers: int = 12_000, sessions: int = 60_000) -> Company:
    """Make the company, the same one for the same sizes; about two and a half lines an order."""
    rng = np.random.default_rng(SEED)
    products = catalogue.products(rng)
    clients = trade.customers(rng, customers)
    sold = trade.trade(rng, orders, clients, products)
    visits = web.sessions(rng, sessions, len(products))
    return Company(
        relations={
            "customers": clients,
            "products": products.drop_columns(["attributes"]),
            "orders": sold.orders,
            "order_lines": sold.lines,
            "refunds": sold.refunds,
        },
        shipments=by_month(sold.shipments, "shipped_at"),
        sessions=by_month(visits, "started_at"),
        products=products.to_pylist(),
    )


def by_month(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """Cut a table by the month of a timestamp; what was shipped in the next January goes with
    December, since the year is closed by then."""
    month = table[column].to_numpy().astype("datetime64[M]")
    last = np.datetime64(MONTHS[-1], "M")
    month = np.minimum(month, last)
    return {name: table.filter(pa.array(month == np.datetime64(name, "M"))) for name in MONTHS}
