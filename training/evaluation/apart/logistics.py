"""Shipments of a forwarder, a Parquet file a quarter, and its carriers as CSV."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import count, leader, leaders, percent
from training.evaluation.dataset import LAKE, Domain, Number, Question, Words

_ROWS = 12_000
# code, name, mode, home, share of the shipments, share of them that is late
_CARRIERS = (
    ("KX7", "Kestrel Express", "road", "DE", 0.19, 0.12),
    ("BRL", "Baltic Rail Link", "rail", "PL", 0.09, 0.16),
    ("TRV", "Trave Cargo", "road", "DE", 0.15, 0.21),
    ("OSL", "Oslofjord Lines", "sea", "NO", 0.08, 0.19),
    ("MRD", "Meridian Road", "road", "FR", 0.16, 0.28),
    ("AVI", "Avianta Freight", "air", "NL", 0.07, 0.06),
    ("CNT", "Contrail", "air", "DE", 0.05, 0.09),
    ("GTH", "Gotthard Rail", "rail", "CH", 0.08, 0.13),
    ("PLN", "Polonez Spedition", "road", "PL", 0.13, 0.17),
)
_DEPOTS = {
    "HAMBURG": 0.24,
    "DUISBURG": 0.19,
    "LEIPZIG": 0.155,
    "NUERNBERG": 0.12,
    "BREMEN": 0.11,
    "KASSEL": 0.1,
    "ULM": 0.085,
}
_COUNTRIES = {"DE": 0.3, "PL": 0.17, "FR": 0.15, "NL": 0.13, "CZ": 0.1, "IT": 0.09, "SE": 0.06}
# goods for these countries are heavier
_HEAVIER = {"PL": 1.35, "SE": 0.8}
_SERVICES = {"EXPRESS": 0.26, "STANDARD": 0.49, "ECONOMY": 0.25}
_DAMAGED = {"EXPRESS": 0.018, "STANDARD": 0.029, "ECONOMY": 0.051}
_DAYS = {"EXPRESS": 2, "STANDARD": 4, "ECONOMY": 7}
_CHARTERS, _CHARTER_EUR = 64, 3_000
_FILES = f"{LAKE}:logistics/shipments-*.parquet"
_TABLE = f"{LAKE}:logistics/carriers.csv"


def domain() -> Domain:
    carriers = _carriers()
    shipments = _shipments(np.random.default_rng(4101))
    quarters = shipments["DISPATCHED"].dt.to_period("Q")
    files = {
        f"logistics/shipments-{quarter.year}-q{quarter.quarter}.parquet": formats.parquet(rows)
        for quarter, rows in shipments.groupby(quarters)
    }
    files["logistics/carriers.csv"] = formats.csv(carriers)
    questions = (*_of_shipments(shipments), *_of_both(shipments, carriers), _unanswerable())
    return Domain("logistics", files, {}, questions)


def _carriers() -> pd.DataFrame:
    names = ["CARRIER_CD", "CARRIER_NAME", "MODE", "HOME_CNTRY"]
    return pd.DataFrame([each[:4] for each in _CARRIERS], columns=names)


def _shipments(rng: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame({"DISPATCHED": _days(rng)})
    table.insert(0, "SHIP_NO", [f"SH{number:07d}" for number in range(730_001, 730_001 + _ROWS)])
    table["CARRIER_CD"] = rng.choice([c[0] for c in _CARRIERS], _ROWS, p=[c[4] for c in _CARRIERS])
    for column, shares in (
        ("ORIG_DEPOT", _DEPOTS),
        ("DEST_CNTRY", _COUNTRIES),
        ("SERVICE_LVL", _SERVICES),
    ):
        table[column] = rng.choice(list(shares), _ROWS, p=list(shares.values()))
    table["PALLETS"] = 1 + rng.poisson(2.2, _ROWS)
    table = _delivered(_priced(table, rng), rng)
    damaged = rng.random(_ROWS) < table["SERVICE_LVL"].map(_DAMAGED)
    table["DAMAGED_FLG"] = np.where(damaged, "Y", "N")
    table["WEIGHT_KG"] = table["WEIGHT_KG"].mask(rng.random(_ROWS) < 0.015)
    usual = table[table["FREIGHT_EUR"] < _CHARTER_EUR]
    doubled = usual.sample(6, random_state=rng)
    return pd.concat([table, doubled]).sort_values("SHIP_NO", kind="stable").reset_index(drop=True)


def _days(rng: np.random.Generator) -> "pd.Series[pd.Timestamp]":
    """Days of dispatch: 2025 has more than 2024."""
    days = pd.date_range("2024-01-01", "2025-12-31", freq="D")
    weights = np.where(days.dayofweek < 5, 1.0, 0.25) * np.where(days.year == 2025, 1.14, 1.0)
    drawn = rng.choice(len(days), _ROWS, p=weights / weights.sum())
    return pd.Series(days[np.sort(drawn)])


def _priced(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    heavier = table["DEST_CNTRY"].map(_HEAVIER).fillna(1.0)
    weight = np.clip(rng.lognormal(5.4, 0.8, _ROWS) * heavier.to_numpy(), 5, 2_500).round(1)
    rate = np.where(table["SERVICE_LVL"] == "EXPRESS", 0.78, 0.52)
    freight = 38 + weight * rate * rng.uniform(0.85, 1.15, _ROWS)
    chartered = rng.choice(_ROWS, _CHARTERS, replace=False)
    freight[chartered] = rng.uniform(3_150, 8_900, _CHARTERS)
    return table.assign(WEIGHT_KG=weight, FREIGHT_EUR=freight.round(2))


def _delivered(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Whole days, so that late means a later day. Some have not arrived."""
    promised = table["DISPATCHED"] + pd.to_timedelta(table["SERVICE_LVL"].map(_DAYS), unit="D")
    late = rng.random(_ROWS) < table["CARRIER_CD"].map({each[0]: each[5] for each in _CARRIERS})
    days = np.where(late, rng.integers(1, 6, _ROWS), -rng.integers(0, 2, _ROWS))
    arrived = promised + pd.to_timedelta(pd.Series(days), unit="D")
    missing = (rng.random(_ROWS) < 0.025) | (arrived > pd.Timestamp("2025-12-31"))
    return table.assign(DUE=promised, DELIVERED=arrived.mask(missing))


def _of_shipments(shipments: pd.DataFrame) -> tuple[Question, ...]:
    pallets = shipments.groupby("ORIG_DEPOT")["PALLETS"].sum()
    years = shipments.groupby(shipments["DISPATCHED"].dt.year)["FREIGHT_EUR"].sum()
    to_poland = shipments[shipments["DEST_CNTRY"] == "PL"]
    damaged = shipments["DAMAGED_FLG"].eq("Y").groupby(shipments["SERVICE_LVL"]).mean()
    return (
        Question(
            "logistics-depots",
            "top 3 depots by number of pallets sent out, please",
            (_FILES,),
            tuple(Words((name,)) for name in leaders(pallets, 3)),
        ),
        Question(
            "logistics-spend",
            "Did our freight bill go up from 2024 to 2025? By how many percent? "
            "Go by the dispatch date.",
            (_FILES,),
            (percent(years[2025] / years[2024] - 1),),
        ),
        Question(
            "logistics-weight",
            "What's the median weight of a shipment to Poland (PL)?",
            (_FILES,),
            (Number(float(to_poland["WEIGHT_KG"].median())),),
        ),
        Question(
            "logistics-damage",
            "Do express shipments get damaged less often than economy ones? "
            "I need the damage rate of each.",
            (_FILES,),
            (percent(damaged["EXPRESS"]), percent(damaged["ECONOMY"])),
        ),
        Question(
            "logistics-expensive",
            "Some invoices look way too high. How many shipments cost us more than 3,000 euros "
            "in freight?",
            (_FILES,),
            (count(int((shipments["FREIGHT_EUR"] > _CHARTER_EUR).sum())),),
        ),
    )


def _of_both(shipments: pd.DataFrame, carriers: pd.DataFrame) -> tuple[Question, ...]:
    both = shipments.merge(carriers, on="CARRIER_CD", validate="many_to_one")
    arrived = both[both["DELIVERED"].notna()]
    late = (
        (arrived["DELIVERED"] > arrived["DUE"])
        .groupby(arrived["CARRIER_NAME"])
        .mean()
        .astype(float)
    )
    worst = leader(late)
    return (
        Question(
            "logistics-late",
            "Which carrier is late most often? Count only what has been delivered, and tell me "
            "the carrier's name and its share of late deliveries.",
            (_FILES, _TABLE),
            (Words((worst,)), percent(late[worst])),
        ),
        Question(
            "logistics-rail",
            "what share of our shipments goes by rail",
            (_FILES, _TABLE),
            (percent(float((both["MODE"] == "rail").mean())),),
        ),
    )


def _unanswerable() -> Question:
    return Question(
        "logistics-fuel",
        "How many litres of diesel per 100 km did the trucks use on average?",
        (_FILES, _TABLE),
        (),
        refuses=True,
    )
