"""Four more data sets of the kind that people have: a second set, asked of once the first was
answered."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]


def energy(folder: Path, seed: int = 31) -> Tables:
    """Monthly meter readings as CSV; meters and tariffs as two sheets of a workbook."""
    rng = np.random.default_rng(seed)
    meters = pd.DataFrame(
        {
            "Meter ID": [f"M{n:03d}" for n in range(60)],
            "Town": rng.choice(["Aldby", "Birkfjord", "Corran"], 60),
            "House type": rng.choice(["flat", "terraced", "detached"], 60),
            "Residents": rng.integers(1, 6, 60),
            "Installed on": (
                pd.Timestamp("2012-01-01") + pd.to_timedelta(rng.integers(0, 4000, 60), unit="D")
            ).strftime("%d.%m.%Y"),
        }
    )
    tariffs = pd.DataFrame(
        {"Tariff": ["day", "night", "green"], "Price per kWh (ct)": [34.2, 26.9, 36.5]}
    )
    months = pd.date_range("2023-01-31", "2024-12-31", freq="ME")
    readings = pd.DataFrame(
        [(meter, month) for meter in meters["Meter ID"] for month in months],
        columns=["meter_id", "reading_date"],
    )
    count = len(readings)
    cold = 1 + 0.4 * np.cos(2 * np.pi * (readings["reading_date"].dt.month - 1) / 12)
    readings["kwh"] = (rng.gamma(6, 40, count) * cold).round(1)
    readings["tariff"] = rng.choice(tariffs["Tariff"], count, p=[0.5, 0.3, 0.2])
    readings["estimated"] = rng.random(count) < 0.12
    readings.loc[rng.choice(count, 25, replace=False), "kwh"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    written = readings.assign(
        reading_date=readings["reading_date"].dt.strftime("%Y/%m/%d"),
        estimated=np.where(readings["estimated"], "y", "n"),
    )
    written.to_csv(folder / "meter_readings.csv", index=False)
    with pd.ExcelWriter(folder / "Stammdaten.xlsx") as book:
        meters.to_excel(book, sheet_name="Meters", index=False)
        tariffs.to_excel(book, sheet_name="Tariffs", index=False)
    return {"readings": readings, "meters": meters, "tariffs": tariffs}


def restaurant(folder: Path, seed: int = 32) -> Tables:
    """A booking list, tab-separated: bills as text with a pound sign, no-shows as Y and N."""
    rng = np.random.default_rng(seed)
    count = 1100
    at = pd.Timestamp("2025-01-02") + pd.to_timedelta(rng.integers(0, 180, count), unit="D")
    at = at + pd.to_timedelta(rng.choice([18, 19, 20, 21], count, p=[0.2, 0.4, 0.3, 0.1]), unit="h")
    size = rng.integers(1, 9, count)
    absent = rng.random(count) < 0.11
    bill = pd.Series((size * rng.gamma(6, 6, count)).round(2)).where(~absent)
    bookings = pd.DataFrame(
        {
            "Booking ref": [f"B-{n:05d}" for n in range(count)],
            "Booked for": at,
            "Party size": size,
            "Area": rng.choice(["Terrace", "Main room", "Bar"], count, p=[0.3, 0.6, 0.1]),
            "Waiter": rng.choice(["Ines", "Jonas", "Kofi", "Lara"], count),
            "Booked via": rng.choice(["phone", "website", "walk-in"], count, p=[0.3, 0.5, 0.2]),
            "No-show": np.where(absent, "Y", "N"),
            "Bill (£)": bill,
            "Tip (£)": (bill * rng.uniform(0, 0.2, count)).round(2),
            "Rating": pd.Series(rng.integers(1, 6, count)).where(rng.random(count) < 0.4),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    written = bookings.assign(
        **{"Booked for": bookings["Booked for"].dt.strftime("%d %b %Y %H:%M")}
    )
    for name in ("Bill (£)", "Tip (£)"):
        written[name] = [f"£{value:,.2f}" if value == value else "" for value in bookings[name]]
    written.to_csv(folder / "bookings 2025 H1.tsv", sep="\t", index=False)
    return {"bookings": bookings}


def races(folder: Path, seed: int = 33) -> Tables:
    """Results of runs as nested JSON, runners and races inside each record."""
    rng = np.random.default_rng(seed)
    count = 900
    people = pd.DataFrame(
        {
            "runner.name": [f"Runner {n:03d}" for n in range(240)],
            "runner.club": rng.choice(["Harriers", "Striders", "Lightfoot", "unattached"], 240),
            "runner.born": rng.integers(1950, 2006, 240),
            "runner.sex": rng.choice(["W", "M"], 240),
        }
    )
    runs = pd.DataFrame(
        {
            "race.name": ["City 10k", "Lake Run", "Night Half", "Hill Race"],
            "race.distance_km": [10.0, 8.0, 21.1, 12.5],
            "race.date": ["2024-04-14", "2024-06-02", "2024-08-24", "2024-10-06"],
        }
    )
    who, what = rng.integers(0, 240, count), rng.integers(0, 4, count)
    results = pd.concat(
        [people.iloc[who].reset_index(drop=True), runs.iloc[what].reset_index(drop=True)], axis=1
    )
    pace = rng.normal(5.6, 0.8, count) + 0.02 * (2024 - results["runner.born"])
    results["finish_minutes"] = (results["race.distance_km"] * pace).round(1)
    results["finished"] = rng.random(count) < 0.94
    results.loc[~results["finished"], "finish_minutes"] = np.nan
    records = []
    for row in results.to_dict("records"):
        nested: dict[str, object] = {"runner": {}, "race": {}}
        for name, value in row.items():
            head, _, tail = str(name).partition(".")
            held = nested[head] if tail else nested
            held[tail or head] = None if value != value else value  # type: ignore[index]
        records.append(nested)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"season": 2024, "results": records}))
    results["race.date"] = pd.to_datetime(results["race.date"])
    return {"results": results}


def school(folder: Path, seed: int = 34) -> Tables:
    """One workbook with three sheets that belong together; each has a title above its headings."""
    rng = np.random.default_rng(seed)
    courses = pd.DataFrame(
        {
            "Course code": ["MA1", "PH1", "HI2", "CS1", "AR3"],
            "Course": ["Algebra", "Mechanics", "Medieval history", "Programming", "Drawing"],
            "Teacher": ["Okafor", "Lindqvist", "Moreau", "Okafor", "Tanaka"],
            "Credits": [6, 6, 4, 8, 3],
        }
    )
    students = pd.DataFrame(
        {
            "Student ID": np.arange(7001, 7151),
            "Year group": rng.choice(["first", "second", "third"], 150),
            "Home country": rng.choice(["Kenya", "Peru", "Latvia", "Japan"], 150),
            "Scholarship": rng.choice(["yes", "no"], 150, p=[0.3, 0.7]),
        }
    )
    count = 520
    enrolments = pd.DataFrame(
        {
            "Student ID": rng.integers(7001, 7145, count),
            "Course code": rng.choice(courses["Course code"], count),
            "Enrolled": (
                pd.Timestamp("2024-08-15") + pd.to_timedelta(rng.integers(0, 40, count), unit="D")
            ),
            "Grade": rng.normal(68, 12, count).clip(0, 100).round(),
            "Absences": rng.poisson(3, count),
        }
    )
    enrolments = enrolments.drop_duplicates(["Student ID", "Course code"], ignore_index=True)
    count = len(enrolments)
    enrolments["Passed"] = np.where(enrolments["Grade"] >= 50, "pass", "fail")
    enrolments.loc[rng.choice(count, 30, replace=False), "Grade"] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {"Courses": courses, "Students": students, "Enrolments": enrolments}
    with pd.ExcelWriter(folder / "School 2024-25.xlsx") as book:
        for name, table in sheets.items():
            table.to_excel(book, sheet_name=name, index=False, startrow=2)
            book.sheets[name]["A1"] = f"{name} of the year 2024/25"
        pd.DataFrame().to_excel(book, sheet_name="Notes")
    return {name.lower(): table for name, table in sheets.items()}


DATASETS = {"energy": energy, "restaurant": restaurant, "races": races, "school": school}
