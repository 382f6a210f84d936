"""An outdoor shop: customers, products, orders and their lines, of two years."""

import numpy as np
import pandas as pd

from training.evaluation.dataset import DATABASE, Domain, Number, Question, Words
from training.evaluation.seen.ranking import first

_CUSTOMERS, _PRODUCTS, _ORDERS, _LINES = 1400, 90, 6000, 14_500
_CUSTOMERS_TABLE = f"{DATABASE}:retail.customers"
_PRODUCTS_TABLE = f"{DATABASE}:retail.products"
_ORDERS_TABLE = f"{DATABASE}:retail.orders"
_LINES_TABLE = f"{DATABASE}:retail.order_lines"

# a typical price, and how often a line of it comes back
_CATEGORIES = {
    "Tents": (240.0, 0.05),
    "Backpacks": (95.0, 0.06),
    "Footwear": (130.0, 0.15),
    "Jackets": (160.0, 0.10),
    "Cooking": (38.0, 0.02),
    "Climbing": (70.0, 0.03),
}
_KINDS = ("Alto", "Brisk", "Cairn", "Dale", "Ember", "Fjord", "Glade", "Heath", "Inlet", "Jarl")
# how much larger an order of a region is
_REGIONS = {"North": 1.0, "South": 1.18, "East": 0.9, "West": 1.05}


def domain() -> Domain:
    rng = np.random.default_rng(20_240)
    customers, products = _customers(rng), _products(rng)
    orders = _orders(rng)
    lines = _lines(rng, customers, products, orders)
    sold = lines.merge(orders).query("status != 'cancelled'")
    sold = sold.assign(revenue=sold["quantity"] * sold["unit_price"])
    return Domain(
        name="retail",
        files={},
        tables={
            "customers": customers,
            "products": products,
            "orders": orders,
            "order_lines": lines,
        },
        questions=(
            _returns(lines, products),
            _growth(sold),
            _best_month(sold),
            _top_products(sold, products),
            _region_order_value(sold, customers),
            _regulars(orders),
            _unknown_email(customers),
            Question(
                id="retail-margin",
                text="What is our profit margin on tents?",
                data=(_PRODUCTS_TABLE, _LINES_TABLE),
                expects=(),
                refuses=True,
            ),
        ),
    )


# The data


def _customers(rng: np.random.Generator) -> pd.DataFrame:
    ids = np.arange(1, _CUSTOMERS + 1)
    frame = pd.DataFrame(
        {
            "customer_id": ids,
            "full_name": [f"Customer {each}" for each in ids],
            "email": pd.Series([f"c{each}@example.org" for each in ids], dtype=object),
            "region": rng.choice(list(_REGIONS), _CUSTOMERS, p=[0.32, 0.22, 0.26, 0.2]),
            "signed_up_on": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(rng.integers(0, 1400, _CUSTOMERS), unit="D"),
        }
    )
    frame.loc[rng.random(_CUSTOMERS) < 0.07, "email"] = None
    return frame


def _products(rng: np.random.Generator) -> pd.DataFrame:
    category = np.resize(list(_CATEGORIES), _PRODUCTS)
    typical = np.array([_CATEGORIES[each][0] for each in category])
    return pd.DataFrame(
        {
            "product_id": [f"P{at:03}" for at in range(1, _PRODUCTS + 1)],
            "product_name": [
                f"{_KINDS[at % len(_KINDS)]} {category[at].removesuffix('s')} {100 + at}"
                for at in range(_PRODUCTS)
            ],
            "category": category,
            "list_price": np.round(typical * rng.lognormal(0, 0.3, _PRODUCTS), 2),
        }
    )


def _orders(rng: np.random.Generator) -> pd.DataFrame:
    months = pd.date_range("2023-01-01", "2024-12-01", freq="MS")
    # spring and Christmas are strong, and the second year is better
    often = np.array([4, 4, 6, 7, 8, 8, 7, 6, 5, 5, 8, 11] * 2) * np.repeat([1.0, 1.15], 12)
    start = rng.choice(months, _ORDERS, p=often / often.sum())
    into = rng.integers(0, 28 * 86_400, _ORDERS).astype("timedelta64[s]")
    frame = pd.DataFrame(
        {
            "customer_id": _buyers(rng),
            "ordered_at": np.sort(start + into),
            "status": rng.choice(
                ["delivered", "shipped", "cancelled", "open"], _ORDERS, p=[0.82, 0.08, 0.07, 0.03]
            ),
            "sales_channel": rng.choice(["web", "store", "phone"], _ORDERS, p=[0.63, 0.31, 0.06]),
        }
    )
    frame.insert(0, "order_id", np.arange(40_001, 40_001 + _ORDERS))
    return frame


def _buyers(rng: np.random.Generator) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    keen = rng.lognormal(0, 0.8, _CUSTOMERS)
    keen[rng.random(_CUSTOMERS) < 0.06] = 0
    return rng.choice(np.arange(1, _CUSTOMERS + 1), _ORDERS, p=keen / keen.sum())


def _lines(
    rng: np.random.Generator, customers: pd.DataFrame, products: pd.DataFrame, orders: pd.DataFrame
) -> pd.DataFrame:
    # each order has one line at least
    at = np.sort(np.concatenate([np.arange(_ORDERS), rng.integers(0, _ORDERS, _LINES - _ORDERS)]))
    # three products sell best
    liked = np.r_[9.0, 7.0, 5.5, rng.uniform(0.6, 2.0, _PRODUCTS - 3)]
    chosen = products.iloc[rng.choice(_PRODUCTS, _LINES, p=rng.permutation(liked) / liked.sum())]
    region = customers["region"].to_numpy()[orders["customer_id"].to_numpy()[at] - 1]
    dearer = pd.Series(region).map(_REGIONS).to_numpy()
    coming_back = chosen["category"].map({name: each[1] for name, each in _CATEGORIES.items()})
    frame = pd.DataFrame(
        {
            "order_id": orders["order_id"].to_numpy()[at],
            "product_id": chosen["product_id"].to_numpy(),
            "quantity": rng.choice([1, 2, 3, 4], _LINES, p=[0.66, 0.22, 0.08, 0.04]),
            "unit_price": np.round(chosen["list_price"].to_numpy() * dearer, 2),
            "returned": rng.random(_LINES) < coming_back.to_numpy(),
        }
    )
    frame.insert(1, "line_no", frame.groupby("order_id").cumcount() + 1)
    return frame


# The questions


def _returns(lines: pd.DataFrame, products: pd.DataFrame) -> Question:
    shares = lines.merge(products).groupby("category")["returned"].mean() * 100
    category, share = first(shares)
    return Question(
        id="retail-returns",
        text="Which product category is returned most often, and what percentage of its order "
        "lines comes back?",
        data=(_LINES_TABLE, _PRODUCTS_TABLE),
        expects=(Words((category,)), Number(share, percent=True, absolute=0.1, relative=0.0)),
    )


def _growth(sold: pd.DataFrame) -> Question:
    by_year = sold.groupby(sold["ordered_at"].dt.year)["revenue"].sum()
    growth = float(by_year[2024] / by_year[2023] - 1) * 100
    return Question(
        id="retail-growth",
        text="How much did revenue (quantity times unit price, without cancelled orders) grow from "
        "2023 to 2024, in percent?",
        data=(_ORDERS_TABLE, _LINES_TABLE),
        expects=(Number(growth, percent=True, absolute=0.1, relative=0.0),),
    )


def _best_month(sold: pd.DataFrame) -> Question:
    of_2024 = sold[sold["ordered_at"].dt.year == 2024]
    month, revenue = first(
        of_2024.groupby(of_2024["ordered_at"].dt.strftime("%Y-%m"))["revenue"].sum()
    )
    named = pd.Timestamp(f"{month}-01")
    return Question(
        id="retail-best-month",
        text="What was our best month of 2024 by revenue and how much did we make? Revenue is "
        "quantity times unit price; cancelled orders don't count.",
        data=(_ORDERS_TABLE, _LINES_TABLE),
        expects=(Words((named.strftime("%B"), named.strftime("%b %Y"), month)), Number(revenue)),
    )


def _top_products(sold: pd.DataFrame, products: pd.DataFrame) -> Question:
    units = sold.merge(products).groupby("product_name")["quantity"].sum()
    ranked = units.sort_values(ascending=False)
    for place in range(3):
        first(ranked.iloc[place:])
    return Question(
        id="retail-top-products",
        text="What are our top 3 products by units sold, leaving out cancelled orders, and how "
        "many units of each did we sell?",
        data=(_ORDERS_TABLE, _LINES_TABLE, _PRODUCTS_TABLE),
        expects=tuple(
            expected
            for name, sold_units in ranked.head(3).items()
            for expected in (Words((str(name),)), Number(int(sold_units), relative=0.0))
        ),
    )


def _region_order_value(sold: pd.DataFrame, customers: pd.DataFrame) -> Question:
    values = sold.groupby(["order_id", "customer_id"])["revenue"].sum().reset_index()
    region, value = first(values.merge(customers).groupby("region")["revenue"].mean())
    return Question(
        id="retail-region-order-value",
        text="In which region do customers spend the most per order on average (cancelled orders "
        "excluded), and how much is that?",
        data=(_ORDERS_TABLE, _LINES_TABLE, _CUSTOMERS_TABLE),
        expects=(Words((region,)), Number(value)),
    )


def _regulars(orders: pd.DataFrame) -> Question:
    in_store = orders.query("sales_channel == 'store'")
    regulars = int((in_store["customer_id"].value_counts() >= 3).sum())
    return Question(
        id="retail-regulars",
        text="How many customers have ordered in a store three times or more?",
        data=(_ORDERS_TABLE,),
        expects=(Number(regulars, relative=0.0),),
    )


def _unknown_email(customers: pd.DataFrame) -> Question:
    return Question(
        id="retail-unknown-email",
        text="For how many customers don't we have an email address?",
        data=(_CUSTOMERS_TABLE,),
        expects=(Number(int(customers["email"].isna().sum()), relative=0.0),),
    )
