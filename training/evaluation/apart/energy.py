"""Hourly meter readings of a winter as CSV with semicolons, a file a month, and sites as JSON."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import coefficient, count, day, leader, percent
from training.evaluation.dataset import LAKE, Domain, Number, Question, Words

# meter, site, type, floor area, kWh per hour and square metre, heated by power, hours missing
_SITES = (
    ("M-1041", "Harbour Depot", "warehouse", 9_200, 0.0042, 0.01, 21),
    ("M-1042", "Linden Primary School", "school", 3_800, 0.0085, 0.035, 44),
    ("M-1043", "Town Hall", "office", 5_100, 0.0107, 0.02, 9),
    ("M-1047", "Kings Road Shop", "retail", 1_250, 0.0215, 0.008, 118),
    ("M-1050", "Riverside Offices", "office", 7_400, 0.0121, 0.025, 17),
    ("M-1052", "Cold Store East", "warehouse", 4_300, 0.0198, -0.004, 63),
    ("M-1053", "Sports Centre", "leisure", 2_900, 0.0125, 0.03, 32),
)
_CLOSED = ("M-1039", "Old Mill", "office", 1_900)
_HOURS = pd.date_range("2025-01-01T00:00", "2025-03-31T23:00", freq="h")
_COLDEST = pd.Timestamp("2025-02-12")
_FILES = f"{LAKE}:energy/readings-*.csv"
_TABLE = f"{LAKE}:energy/sites.json"


def domain() -> Domain:
    readings = _readings(np.random.default_rng(4404))
    files = {
        f"energy/readings-{month}.csv": formats.csv(_written(rows), ";")
        for month, rows in readings.groupby(readings["Reading Time"].dt.strftime("%Y-%m"))
    }
    files["energy/sites.json"] = formats.json_array(_sites())
    questions = (
        *_of_readings(readings),
        *_of_gaps(readings),
        *_of_both(readings, pd.DataFrame(_sites())),
        _unanswerable(),
    )
    return Domain("energy", files, {}, questions)


def _sites() -> list[dict[str, object]]:
    """One of them is closed and has no readings."""
    names = ("meterId", "siteName", "siteType", "floorAreaM2")
    open_sites = [dict(zip(names, each, strict=False)) | {"active": True} for each in _SITES]
    return [*open_sites, dict(zip(names, _CLOSED, strict=True)) | {"active": False}]


def _readings(rng: np.random.Generator) -> pd.DataFrame:
    outside = _temperatures(rng)
    tables = [_of_site(site, outside, rng) for site in _SITES]
    return pd.concat(tables).sort_values(["Reading Time", "Meter ID"], ignore_index=True)


def _temperatures(rng: np.random.Generator) -> np.ndarray:
    """Degrees by the hour: milder towards March, with a cold spell around its coldest day."""
    number = np.arange(len(_HOURS))
    season = 1.5 + 7.5 * number / len(number)
    daily = 1.2 * np.sin((_HOURS.hour.to_numpy() - 9) / 24 * 2 * np.pi)
    away = np.abs((_HOURS.normalize() - _COLDEST).days.to_numpy())
    spell = -np.select([away == 0, away <= 3], [17.0, 7.0], 0.0)
    weather = np.repeat(rng.normal(0, 2.0, len(number) // 24), 24)
    return np.asarray((season + daily + spell + weather).round(1))


def _of_site(
    site: tuple[str, str, str, int, float, float, int],
    outside: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    meter, _, kind, area, rate, heating, missing = site
    size = len(_HOURS)
    colder = 1 + heating * np.clip(15 - outside, 0, None)
    used = area * rate * _busy(kind) * colder * rng.normal(1, 0.06, size)
    table = pd.DataFrame(
        {
            "Meter ID": meter,
            "Reading Time": _HOURS,
            "Consumption (kWh)": used.round(2),
            "Outdoor Temp (C)": pd.Series(outside).mask(rng.random(size) < 0.008),
            "Quality": np.where(rng.random(size) < 0.047, "ESTIMATED", "MEASURED"),
        }
    )
    # the first and the last hour are there, so that the period is plain
    return table.drop(rng.choice(np.arange(1, size - 1), missing, replace=False))


def _busy(kind: str) -> np.ndarray:
    """How much is used in an hour, relative to a working hour."""
    open_hours = (_HOURS.hour >= 7) & (_HOURS.hour < 19)
    weekend = _HOURS.dayofweek >= 5
    if kind in ("warehouse", "leisure"):
        return np.where(open_hours, 1.0, 0.7) * np.where(weekend, 0.95, 1.0)
    return np.where(open_hours & ~weekend, 1.0, 0.4)


def _written(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{"Reading Time": rows["Reading Time"].dt.strftime("%Y-%m-%dT%H:%M:%S")})


def _of_readings(readings: pd.DataFrame) -> tuple[Question, ...]:
    used, when = readings["Consumption (kWh)"], readings["Reading Time"]
    february = used[when.dt.month == 2].sum()
    days = used.groupby(when.dt.normalize()).sum()
    highest = pd.Timestamp(leader(days))
    weekend = used.groupby(when.dt.dayofweek >= 5).mean()
    return (
        Question(
            "energy-february",
            "How much electricity did all sites together use in February 2025, in kWh?",
            (_FILES,),
            (Number(float(february)),),
        ),
        Question(
            "energy-peak",
            "On which day was our total consumption highest, and how many kWh was it?",
            (_FILES,),
            (day(highest), Number(float(days[highest]))),
        ),
        Question(
            "energy-weekend",
            "Compare weekdays with weekends (Saturday and Sunday): how many kWh does the "
            "average hourly meter reading show?",
            (_FILES,),
            (
                Number(float(weekend[False]), absolute=0.06),
                Number(float(weekend[True]), absolute=0.06),
            ),
        ),
        Question(
            "energy-estimated",
            "what percentage of the readings is only estimated?",
            (_FILES,),
            (percent(float((readings["Quality"] == "ESTIMATED").mean())),),
        ),
    )


def _of_gaps(readings: pd.DataFrame) -> tuple[Question, ...]:
    gaps = len(_HOURS) - readings["Meter ID"].value_counts()
    worst = leader(gaps)
    return (
        Question(
            "energy-gaps",
            "There should be a reading for each meter and hour from 1 January to 31 March 2025. "
            "Which meter has the most hours missing, and how many?",
            (_FILES,),
            (Words((worst,)), count(int(gaps[worst]))),
        ),
    )


def _of_both(readings: pd.DataFrame, sites: pd.DataFrame) -> tuple[Question, ...]:
    both = readings.merge(sites, left_on="Meter ID", right_on="meterId", validate="many_to_one")
    used = both.groupby("siteName")["Consumption (kWh)"].sum()
    each = used / sites.set_index("siteName")["floorAreaM2"]
    most = leader(each.dropna())
    heated = both[both["siteName"] == "Sports Centre"]
    correlation = heated["Outdoor Temp (C)"].corr(heated["Consumption (kWh)"])
    return (
        Question(
            "energy-density",
            "Which site uses the most electricity per square metre of floor area, over the whole "
            "period? Tell me the site's name and the kWh per square metre.",
            (_FILES, _TABLE),
            (Words((most,)), Number(float(each[most]))),
        ),
        Question(
            "energy-cold",
            "Does the Sports Centre use more power when it's cold outside? Show me the "
            "correlation of temperature and consumption there.",
            (_FILES, _TABLE),
            (coefficient(correlation),),
        ),
    )


def _unanswerable() -> Question:
    return Question(
        "energy-solar",
        "How much of our power came from the solar panels on the roofs?",
        (_FILES, _TABLE),
        (),
        refuses=True,
    )
