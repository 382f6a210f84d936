"""Small data sets as people keep them: headings with units, dates as text, gaps, several sheets.

Each maker writes the files as they would lie about, and gives the tables as they truly are.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]


def _moments(rng: np.random.Generator, start: str, days: int, count: int) -> pd.Series:
    minutes = rng.integers(0, days * 24 * 60, count)
    return pd.Series(pd.Timestamp(start) + pd.to_timedelta(minutes, unit="m"))


def hospital(folder: Path, seed: int = 21) -> Tables:
    """One workbook with two sheets: stays with headings in words and units, and the wards."""
    rng = np.random.default_rng(seed)
    count = 900
    wards = pd.DataFrame(
        {
            "Ward code": ["CAR", "ORT", "GER", "PED", "NEU"],
            "Ward": ["Cardiology", "Orthopaedics", "Geriatrics", "Paediatrics", "Neurology"],
            "Beds": [32, 40, 28, 24, 18],
            "Building": ["East", "East", "West", "West", "North"],
        }
    )
    code = rng.choice(wards["Ward code"], count, p=[0.25, 0.3, 0.2, 0.15, 0.1])
    admitted = _moments(rng, "2024-01-01", 366, count).dt.normalize()
    nights = rng.poisson(np.where(code == "GER", 11, 4)) + 1
    stays = pd.DataFrame(
        {
            "Patient No.": rng.integers(10000, 10700, count),
            "Admission date": admitted.dt.strftime("%d.%m.%Y"),
            "Discharge date": (admitted + pd.to_timedelta(nights, unit="D")).dt.strftime(
                "%d.%m.%Y"
            ),
            "Ward code": code,
            "Sex": rng.choice(["F", "M"], count),
            "Age (years)": np.where(
                code == "PED", rng.integers(0, 17, count), rng.integers(18, 95, count)
            ).astype(float),
            "Diagnosis": rng.choice(["fracture", "stroke", "pneumonia", "heart failure"], count),
            "Length of stay (days)": nights,
            "Cost (EUR)": (nights * 640 + rng.gamma(2, 500, count)).round(2),
            "Readmitted": np.where(
                rng.random(count) < np.where(code == "GER", 0.3, 0.1), "Yes", "No"
            ),
            "Insurance": rng.choice(["public", "private"], count, p=[0.8, 0.2]),
        }
    )
    stays.loc[rng.random(count) < 0.06, "Age (years)"] = np.nan
    stays.loc[rng.random(count) < 0.04, "Cost (EUR)"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    with pd.ExcelWriter(folder / "hospital 2024.xlsx") as book:
        stays.to_excel(book, sheet_name="Stays", index=False)
        wards.to_excel(book, sheet_name="Wards", index=False)
    for name in ("Admission date", "Discharge date"):
        stays[name] = pd.to_datetime(stays[name], format="%d.%m.%Y")
    return {"stays": stays, "wards": wards}


def air(folder: Path, seed: int = 22) -> Tables:
    """Readings as a semicolon export with decimal commas and 'n/a'; stations in JSON."""
    rng = np.random.default_rng(seed)
    names = ["Harbour", "Old Town", "Ring Road", "Airport", "City Park"]
    stations = pd.DataFrame(
        {
            "station": names,
            "district": ["South", "Centre", "Centre", "North", "South"],
            "altitude_m": [4, 31, 28, 55, 12],
            "operator": ["City", "City", "State", "State", "City"],
        }
    )
    times = pd.date_range("2025-01-01", "2025-03-31 18:00", freq="6h")
    frames = []
    for number, name in enumerate(names):
        cold = 10 - 8 * np.cos(2 * np.pi * times.dayofyear / 365)
        frame = pd.DataFrame({"Measured at": times, "Station": name})
        frame["PM2.5"] = (rng.gamma(3, 4, len(times)) + 4 * (name == "Ring Road")).round(1)
        frame["NO2 (µg/m³)"] = (rng.gamma(4, 6, len(times)) + 2 * number).round(1)
        frame["Temp °C"] = (cold + rng.normal(0, 3, len(times))).round(1)
        frame["Wind speed (m/s)"] = rng.gamma(2, 2, len(times)).round(1)
        frame["Status"] = rng.choice(["valid", "maintenance"], len(times), p=[0.95, 0.05])
        frames.append(frame)
    readings = pd.concat(frames, ignore_index=True)
    readings.loc[rng.choice(len(readings), 90, replace=False), "NO2 (µg/m³)"] = np.nan
    readings.loc[rng.choice(len(readings), 40, replace=False), "PM2.5"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    written = readings.assign(
        **{"Measured at": readings["Measured at"].dt.strftime("%d/%m/%Y %H:%M")}
    )
    written.to_csv(folder / "air-readings-q1.csv", sep=";", decimal=",", na_rep="n/a", index=False)
    (folder / "stations.json").write_text(
        json.dumps({"generated": "2025-04-01", "stations": stations.to_dict("records")})
    )
    return {"readings": readings, "stations": stations}


def library(folder: Path, seed: int = 23) -> Tables:
    """Loans as Parquet, books as JSON lines, members as CSV with camel case and a blank column."""
    rng = np.random.default_rng(seed)
    count = 2600
    books = pd.DataFrame(
        {
            "isbn": [f"978-{n:07d}" for n in range(180)],
            "title": [f"Book of {n:03d}" for n in range(180)],
            "author": rng.choice([f"Author {letter}" for letter in "ABCDEFGHIJKL"], 180),
            "genre": rng.choice(
                ["crime", "fantasy", "history", "poetry"], 180, p=[0.4, 0.3, 0.2, 0.1]
            ),
            "pages": rng.integers(90, 900, 180),
            "published": rng.integers(1950, 2024, 180),
        }
    )
    members = pd.DataFrame(
        {
            "memberNo": np.arange(5001, 5301),
            "joinedOn": _moments(rng, "2015-01-01", 3600, 300).dt.strftime("%b %d, %Y"),
            "homeBranch": rng.choice(["Main", "Riverside", "Hilltop"], 300, p=[0.5, 0.3, 0.2]),
            "ageGroup": rng.choice(["child", "teen", "adult", "senior"], 300),
        }
    )
    borrowed = _moments(rng, "2023-01-01", 730, count).dt.normalize()
    kept = rng.integers(2, 50, count)
    back = borrowed + pd.to_timedelta(kept, unit="D")
    due = borrowed + pd.Timedelta(days=28)
    loans = pd.DataFrame(
        {
            "loan_id": np.arange(1, count + 1),
            "memberNo": rng.integers(5001, 5291, count),
            "isbn": rng.choice(books["isbn"][:170], count),
            "borrowed_on": borrowed,
            "due_on": due,
            "returned_on": back.where(rng.random(count) > 0.05),
            "renewals": rng.integers(0, 4, count),
        }
    )
    overdue = (loans["returned_on"] - loans["due_on"]).dt.days.clip(lower=0).fillna(0)
    loans["fine"] = (overdue * 0.25).round(2)
    folder.mkdir(parents=True, exist_ok=True)
    loans.to_parquet(folder / "loans.parquet", index=False)
    books.to_json(folder / "books.jsonl", orient="records", lines=True)
    members.assign(notes="").to_csv(folder / "members.csv", index=False)
    members["joinedOn"] = pd.to_datetime(members["joinedOn"], format="%b %d, %Y")
    return {"loans": loans, "books": books, "members": members}


def tickets(folder: Path, seed: int = 24) -> Tables:
    """A help desk's export: blanks in the headings, minutes, scores of one to five, upper case."""
    rng = np.random.default_rng(seed)
    count = 1400
    opened = _moments(rng, "2025-01-01", 270, count)
    priority = rng.choice(["Low", "Medium", "High", "Urgent"], count, p=[0.3, 0.4, 0.2, 0.1])
    hours = rng.gamma(2, np.where(priority == "Urgent", 4, 20))
    desk = pd.DataFrame(
        {
            "Ticket #": [f"TK-{n:05d}" for n in range(count)],
            "Opened": opened,
            "Closed": (opened + pd.to_timedelta((hours * 60).round(), unit="m")).where(
                rng.random(count) > 0.08
            ),
            "Priority": priority,
            " Agent": rng.choice(["Amina", "Bo", "Chiara", "Dmitri", "Elif"], count),
            "Product line": rng.choice(["Router", "Modem", "TV box"], count, p=[0.5, 0.3, 0.2]),
            "COUNTRY": rng.choice(["Norway", "Sweden", "Finland"], count),
            "First reply (min)": rng.gamma(2, 30, count).round().astype(int),
            "Satisfaction score": rng.choice(
                [1, 2, 3, 4, 5, np.nan], count, p=[0.1, 0.1, 0.2, 0.3, 0.2, 0.1]
            ),
            "Reopened": rng.random(count) < np.where(priority == "Low", 0.05, 0.15),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    written = desk.assign(
        Opened=desk["Opened"].dt.strftime("%m/%d/%Y %H:%M"),
        Closed=desk["Closed"].dt.strftime("%m/%d/%Y %H:%M"),
    )
    written.to_csv(folder / "export_tickets_final (2).csv", index=False)
    return {"tickets": desk.rename(columns={" Agent": "Agent"})}


DATASETS = {"hospital": hospital, "air": air, "library": library, "tickets": tickets}
