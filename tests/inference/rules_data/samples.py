"""Small companies made with a fixed seed: varied schemas, with structure that is known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]


def _days(rng: np.random.Generator, start: str, span: int, count: int) -> pd.Series:
    days = pd.Timestamp(start) + pd.to_timedelta(rng.integers(0, span, count), unit="D")
    return pd.Series(days)


def retail(folder: Path, seed: int = 7) -> Tables:
    """Orders, customers and refunds as CSV, shipments as Parquet by month; Nordvik returns most
    because a late carrier serves it."""
    rng = np.random.default_rng(seed)
    count = 4000
    customers = pd.DataFrame(
        {
            "customer_id": np.arange(1, 501),
            "name": [f"Customer {n:03d}" for n in range(500)],
            "region": rng.choice(["Nordvik", "Solmark", "Vestra", "Ostby"], 500),
            "segment": rng.choice(["retail", "club", "trade"], 500, p=[0.6, 0.3, 0.1]),
        }
    )
    orders = pd.DataFrame(
        {
            "order_id": np.arange(1001, 1001 + count),
            "customer_id": rng.integers(1, 501, count),
            "channel": rng.choice(["web", "app", "store"], count, p=[0.5, 0.3, 0.2]),
            "total": (rng.gamma(2, 50, count) + 5).round(2),
        }
    )
    orders["ordered_at"] = _days(rng, "2025-01-01", 365, count)
    region = orders.merge(customers, on="customer_id")["region"].to_numpy()
    halden = rng.random(count) < np.where(region == "Nordvik", 0.7, 0.06)
    carrier = np.where(
        halden, "Halden Freight", rng.choice(["Brevik Post", "Lumen Express"], count)
    )
    late = rng.random(count) < np.where(halden, 0.46, 0.07)
    returned = rng.random(count) < np.where(late, 0.33, 0.05)
    shipments = pd.DataFrame(
        {"shipment_id": np.arange(count), "order_id": orders["order_id"], "carrier": carrier}
    )
    shipments["shipped_at"] = orders["ordered_at"] + pd.Timedelta(days=1)
    shipments["promised_at"] = shipments["shipped_at"] + pd.Timedelta(days=4)
    moved = np.where(late, rng.integers(1, 6, count), -rng.integers(0, 3, count))
    shipments["delivered_at"] = shipments["promised_at"] + pd.to_timedelta(moved, unit="D")
    back = orders[returned]
    refunds = pd.DataFrame(
        {
            "refund_id": np.arange(len(back)),
            "order_id": back["order_id"].to_numpy(),
            "amount": (back["total"] * 0.9).round(2).to_numpy(),
            "reason": rng.choice(
                ["damaged", "wrong size", "changed mind"], len(back), p=[0.2, 0.5, 0.3]
            ),
        }
    )
    (folder / "sales").mkdir(parents=True)
    (folder / "shipments").mkdir()
    for name, table in {"customers": customers, "orders": orders, "refunds": refunds}.items():
        table.to_csv(folder / "sales" / f"{name}.csv", index=False)
    for month, part in shipments.groupby(shipments["shipped_at"].dt.strftime("%Y-%m")):
        part.to_parquet(folder / "shipments" / f"{month}.parquet", index=False)
    return {"customers": customers, "orders": orders, "refunds": refunds, "shipments": shipments}


def shop_lines(folder: Path, seed: int = 8) -> Tables:
    """Order lines without a revenue column, products in JSON, orders with dates."""
    rng = np.random.default_rng(seed)
    products = pd.DataFrame(
        {
            "product_id": np.arange(1, 41),
            "name": [f"Product {n:02d}" for n in range(40)],
            "category": rng.choice(["Tents", "Boots", "Jackets", "Stoves"], 40),
        }
    )
    orders = pd.DataFrame(
        {"order_id": np.arange(1, 1501), "ordered_at": _days(rng, "2024-01-01", 700, 1500)}
    )
    lines = pd.DataFrame(
        {
            "order_id": rng.integers(1, 1501, 5000),
            "product_id": rng.integers(1, 41, 5000),
            "quantity": rng.integers(1, 5, 5000),
            "unit_price": rng.uniform(5, 200, 5000).round(2),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    orders.to_csv(folder / "orders.csv", index=False)
    lines.to_csv(folder / "order_lines.csv", index=False)
    (folder / "products.json").write_text(
        json.dumps({"version": 1, "products": products.to_dict("records")})
    )
    return {"products": products, "orders": orders, "order_lines": lines}


def hr(folder: Path, seed: int = 9) -> Tables:
    """Employees with salaries and attrition, departments in a second table."""
    rng = np.random.default_rng(seed)
    departments = pd.DataFrame(
        {
            "department_id": [1, 2, 3, 4],
            "department": ["Engineering", "Sales", "Support", "Finance"],
            "site": ["Oslo", "Bergen", "Oslo", "Bergen"],
        }
    )
    count = 800
    department = rng.integers(1, 5, count)
    employees = pd.DataFrame(
        {
            "employee_id": np.arange(1, count + 1),
            "full_name": [f"Person {n:04d}" for n in range(count)],
            "gender": rng.choice(["male", "female"], count),
            "age": rng.integers(21, 65, count),
            "department_id": department,
            "salary": (30000 + 900 * rng.integers(0, 40, count) + 4000 * department).astype(int),
            "hire_date": _days(rng, "2015-01-01", 3600, count).dt.strftime("%d/%m/%Y"),
            "left": np.where(rng.random(count) < np.where(department == 3, 0.35, 0.1), "yes", "no"),
        }
    )
    employees.loc[rng.random(count) < 0.05, "age"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    employees.to_csv(folder / "employees.csv", index=False)
    departments.to_csv(folder / "departments.csv", index=False)
    return {"employees": employees, "departments": departments}


def sensors(folder: Path, seed: int = 10) -> Tables:
    """Hourly readings in one file for each month, with a hot sensor and a few spikes."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2025-01-01", "2025-03-31 23:00", freq="h")
    frames = []
    for number, sensor in enumerate(["A-1", "A-2", "B-1"]):
        temperature = (
            15 + 3 * number + 5 * np.sin(2 * np.pi * times.hour / 24) + rng.normal(0, 1, len(times))
        )
        frame = pd.DataFrame(
            {"timestamp": times, "sensor": sensor, "temperature": temperature.round(2)}
        )
        frame["humidity"] = (90 - 2 * frame["temperature"] + rng.normal(0, 2, len(times))).round(1)
        frames.append(frame)
    readings = pd.concat(frames, ignore_index=True)
    readings.loc[[100, 900, 4000], "temperature"] = [95.0, 99.0, -40.0]
    readings.loc[rng.choice(len(readings), 130, replace=False), "humidity"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    for month, part in readings.groupby(readings["timestamp"].dt.strftime("%Y%m")):
        part.to_csv(folder / f"readings_{month}.csv", index=False)
    return {"readings": readings}


def finance(folder: Path, seed: int = 11) -> Tables:
    """Transactions with signs, as a German export: semicolons, decimal commas, Latin-1."""
    rng = np.random.default_rng(seed)
    count = 2500
    ledger = pd.DataFrame(
        {
            "Buchung": np.arange(1, count + 1),
            "Datum": _days(rng, "2024-01-01", 366, count).dt.strftime("%d.%m.%Y"),
            "Kategorie": rng.choice(
                ["Löhne", "Miete", "Büro", "Reisen"], count, p=[0.4, 0.2, 0.25, 0.15]
            ),
            "Betrag": rng.gamma(2, 300, count).round(2),
            "Konto": rng.choice(["Giro", "Kasse"], count),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    ledger.to_csv(folder / "buchungen.csv", index=False, sep=";", decimal=",", encoding="latin-1")
    return {"buchungen": ledger}


def logistics(folder: Path, seed: int = 12) -> Tables:
    """Trips with depot and driver, their cost as text with a currency sign."""
    rng = np.random.default_rng(seed)
    count = 1800
    trips = pd.DataFrame(
        {
            "trip_id": [f"T{n:05d}" for n in range(count)],
            "driver": rng.choice([f"Driver {n}" for n in range(12)], count),
            "depot": rng.choice(["North", "South", "East"], count),
            "distance_km": rng.gamma(3, 60, count).round(1),
            "departed_at": pd.Timestamp("2025-02-01")
            + pd.to_timedelta(rng.integers(0, 90 * 24, count), unit="h"),
        }
    )
    hours = trips["distance_km"] / 60 + rng.gamma(2, 0.5, count)
    trips["arrived_at"] = trips["departed_at"] + pd.to_timedelta((hours * 60).round(), unit="m")
    cost = (trips["distance_km"] * 1.2 + rng.normal(0, 8, count) + 20).round(2)
    trips["fuel_cost"] = [f"€ {value:,.2f}" for value in cost]
    folder.mkdir(parents=True, exist_ok=True)
    trips.to_csv(folder / "trips.csv", index=False)
    return {"trips": trips.assign(fuel_cost=cost)}


def web(folder: Path, seed: int = 13) -> Tables:
    """Sessions as JSON lines with a 0/1 conversion, campaigns in a second table."""
    rng = np.random.default_rng(seed)
    count = 3000
    device = rng.choice(["mobile", "desktop", "tablet"], count, p=[0.6, 0.3, 0.1])
    sessions = pd.DataFrame(
        {
            "sessionId": [f"s{n}" for n in range(count)],
            "startedAt": (
                pd.Timestamp("2025-05-01")
                + pd.to_timedelta(rng.integers(0, 60 * 86400, count), unit="s")
            ).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "device": device,
            "campaignId": rng.integers(1, 6, count),
            "pageViews": rng.poisson(4, count) + 1,
            "converted": (rng.random(count) < np.where(device == "desktop", 0.12, 0.04)).astype(
                int
            ),
        }
    )
    campaigns = pd.DataFrame(
        {"campaignId": range(1, 6), "campaign": ["Spring", "Brand", "Retarget", "Mail", "Social"]}
    )
    folder.mkdir(parents=True, exist_ok=True)
    sessions.to_json(folder / "sessions.jsonl", orient="records", lines=True)
    campaigns.to_csv(folder / "campaigns.csv", index=False)
    return {"sessions": sessions, "campaigns": campaigns}


COMPANIES = {
    "retail": retail,
    "shop_lines": shop_lines,
    "hr": hr,
    "sensors": sensors,
    "finance": finance,
    "logistics": logistics,
    "web": web,
}
