"""Stock counts of warehouses as blobs, whose columns and formats changed from one year to the next;
products and suppliers in PostgreSQL."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import count, leader, percent
from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Rule, Table, Words

# codes that no product has; products that are at zero everywhere in 2025
_PRODUCTS, _UNKNOWN, _NOWHERE = 240, 14, 7
_SITES = ("Bergen", "Gdansk", "Porto", "Trieste")
_CATEGORIES = {"Valves": 0.3, "Pumps": 0.22, "Seals": 0.28, "Sensors": 0.2}
_SUPPLIERS = ("Altherm", "Brava", "Cordis", "Delmont", "Evantic")
# of whom more articles run out
_LATE = "Cordis"
_OLD = f"{LAKE}:stock/count-2024.csv"
_NEW = f"{LAKE}:stock/count-2025.parquet"
_PRODUCTS_TABLE = f"{DATABASE}:stock.products"
_SUPPLIERS_TABLE = f"{DATABASE}:stock.suppliers"
_NOTE = (
    " (The counts of 2024 and 2025 name their columns differently, and 2025 writes article codes "
    "in small letters without the hyphen.)"
)


def domain() -> Domain:
    rng = np.random.default_rng(31_416)
    suppliers = pd.DataFrame({"supplier_id": np.arange(1, 6), "supplier_name": _SUPPLIERS})
    products = _products(rng, suppliers)
    old, new = _counts(rng, products, more=1.0), _counts(rng, products, more=1.22)
    new.loc[new["sku"].isin(products["article"].sample(_NOWHERE, random_state=rng)), "qty"] = 0
    joined = pd.concat([rows.assign(year=year) for year, rows in ((2024, old), (2025, new))]).merge(
        products, left_on="sku", right_on="article", how="left"
    )
    return Domain(
        name="stock",
        files={
            "stock/count-2024.csv": formats.csv(old),
            "stock/count-2025.parquet": formats.parquet(_as_of_2025(new)),
        },
        tables={"products": products, "suppliers": suppliers},
        questions=(
            *_over_years(joined),
            *_of_2025(joined[joined["year"] == 2025], suppliers),
            Question(
                "stock-shelf-life",
                "What is the average shelf life of the seals in stock?" + _NOTE,
                (_NEW, _PRODUCTS_TABLE),
                (),
                refuses=True,
            ),
        ),
    )


# The data


def _products(rng: np.random.Generator, suppliers: pd.DataFrame) -> pd.DataFrame:
    category = rng.choice(list(_CATEGORIES), _PRODUCTS, p=list(_CATEGORIES.values()))
    return pd.DataFrame(
        {
            "article": [f"AR-{each:04}" for each in range(1001, 1001 + _PRODUCTS)],
            "product_name": [f"{name[:-1]} {at}" for at, name in enumerate(category, 1)],
            "category": category,
            "supplier_id": rng.choice(suppliers["supplier_id"], _PRODUCTS),
            "unit_cost": np.round(rng.lognormal(3.0, 0.6, _PRODUCTS), 2),
        }
    )


def _counts(rng: np.random.Generator, products: pd.DataFrame, *, more: float) -> pd.DataFrame:
    """As in 2024: a line for each article and site."""
    codes = [*products["article"], *(f"AR-{each:04}" for each in range(9001, 9001 + _UNKNOWN))]
    frame = pd.DataFrame(
        [(code, site) for code in codes for site in _SITES], columns=["sku", "site"]
    )
    late = frame["sku"].isin(products.loc[products["supplier_id"] == 3, "article"])
    chance = np.where(late, 0.3, 0.09)
    larger = frame["site"].map({"Bergen": 1.0, "Gdansk": 1.6, "Porto": 0.8, "Trieste": 1.15})
    units = rng.lognormal(3.1, 0.8, len(frame)) * larger * more
    frame["qty"] = np.where(rng.random(len(frame)) < chance, 0, np.ceil(units)).astype(int)
    return frame


def _as_of_2025(counts: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "warehouse": counts["site"].str.upper(),
            "item_code": counts["sku"].str.replace("-", "").str.lower(),
            "units_on_hand": counts["qty"].astype("int64"),
            "counted_on": "2025-12-31",
        }
    )


# The questions


def _over_years(joined: pd.DataFrame) -> tuple[Question, ...]:
    known = joined[joined["article"].notna()]
    units = known.groupby("year")["qty"].sum()
    by_category = known.pivot_table(index="category", columns="year", values="qty", aggfunc="sum")
    grown = (by_category[2025] / by_category[2024] - 1).sort_values(ascending=False)
    data = (_OLD, _NEW, _PRODUCTS_TABLE)
    return (
        Question(
            "stock-growth",
            "By how many percent did the units in stock grow from the count of 2024 to that of "
            "2025, for articles in our products table?" + _NOTE,
            data,
            (percent(float(units[2025] / units[2024] - 1)),),
        ),
        Question(
            "stock-categories",
            "Make a table of the units in stock by product category, with one column for 2024 and "
            "one for 2025." + _NOTE,
            data,
            (
                Table(
                    ("category", "2024", "2025"),
                    tuple(
                        (str(name), int(each[2024]), int(each[2025]))
                        for name, each in by_category.iterrows()
                    ),
                    relative=0.0,
                ),
            ),
        ),
        Question(
            "stock-order",
            "Rank the product categories by how much their units in stock grew from 2024 to 2025 "
            "in percent, the strongest growth first." + _NOTE,
            data,
            (Rule(in_order=tuple(str(name) for name in grown.index)),),
        ),
    )


def _of_2025(joined: pd.DataFrame, suppliers: pd.DataFrame) -> tuple[Question, ...]:
    known = joined.merge(suppliers, on="supplier_id")
    out = known[known["qty"] == 0].groupby("supplier_name").size()
    share = out / known.groupby("supplier_name").size()
    worth = (known["qty"] * known["unit_cost"]).groupby(known["site"]).sum()
    nowhere = known.groupby("article")["qty"].sum().eq(0).sum()
    unknown = joined.loc[joined["article"].isna(), "sku"].nunique()
    data = (_NEW, _PRODUCTS_TABLE)
    assert leader(share) == _LATE
    return (
        Question(
            "stock-unknown",
            "How many different article codes of the 2025 count are not in our products table?"
            + _NOTE,
            data,
            (count(unknown),),
        ),
        Question(
            "stock-worth",
            "Which warehouse holds the most valuable stock at the end of 2025 (units times unit "
            "cost), and what is it worth?" + _NOTE,
            data,
            (Words((leader(worth),)), Number(float(worth.max()))),
        ),
        Question(
            "stock-supplier",
            "Of which supplier's articles is the largest share of counts at zero in 2025? Name the "
            "supplier and the percentage of its lines that are zero." + _NOTE,
            (*data, _SUPPLIERS_TABLE),
            (Words((_LATE,)), percent(float(share[_LATE]))),
        ),
        Question(
            "stock-nowhere",
            "How many products of our table were at zero in every warehouse in 2025?" + _NOTE,
            data,
            (count(int(nowhere)),),
        ),
    )
