"""Climate sensors in the warehouses of a grocer: readings of one summer, every three hours."""

import io

import numpy as np
import pandas as pd

from training.evaluation.dataset import LAKE, Domain, Number, Question, Words
from training.evaluation.seen.ranking import first

_SENSORS = 24
_READINGS_FILES = "sensors/readings/2024-*.parquet"
_SENSORS_FILE = "sensors/installed.csv"
_READINGS = (f"{LAKE}:{_READINGS_FILES}",)
_WITH_SITES = (*_READINGS, f"{LAKE}:{_SENSORS_FILE}")
# how warm a site is in °C
_SITES = {"Bremen": 17.0, "Leipzig": 18.6, "Graz": 21.4, "Verona": 24.1}
# a sensor that is broken reports one of these
_BROKEN = (999.9, 850.0, -127.0)
_PLAUSIBLE = "-30 <= temp_c <= 60"
_SILENT, _SILENT_READINGS = "S-17", 44
_BLIND = "S-05"


def domain() -> Domain:
    rng = np.random.default_rng(31_337)
    installed = _installed(rng)
    readings = _readings(rng, installed)
    months = readings["measured_at"].dt.strftime("%Y-%m")
    return Domain(
        name="sensors",
        files={_SENSORS_FILE: installed.to_csv(index=False, lineterminator="\n").encode()}
        | {
            f"sensors/readings/{month}.parquet": _parquet(part)
            for month, part in readings.groupby(months)
        },
        tables={},
        questions=(
            _implausible(readings),
            _most_missing(readings),
            _longest_gap(readings),
            _correlation(readings),
            _warmest_site(readings, installed),
            _low_battery(readings),
            _humidity_change(readings),
            Question(
                id="sensors-co2",
                text="Which sensor measured the highest CO2 concentration?",
                data=_WITH_SITES,
                expects=(),
                refuses=True,
            ),
        ),
    )


# The data


def _installed(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Sensor ID": [f"S-{at:02}" for at in range(1, _SENSORS + 1)],
            "Site": [list(_SITES)[at % len(_SITES)] for at in range(_SENSORS)],
            "Floor": rng.integers(0, 4, _SENSORS),
            "Installed": pd.Timestamp("2021-03-01")
            + pd.to_timedelta(rng.integers(0, 900, _SENSORS), unit="D"),
            "Model": rng.choice(["TH-20", "TH-30"], _SENSORS),
        }
    )


def _readings(rng: np.random.Generator, installed: pd.DataFrame) -> pd.DataFrame:
    times = pd.date_range("2024-06-01", "2024-08-31 21:00", freq="3h")
    index = pd.MultiIndex.from_product(
        [times, installed["Sensor ID"]], names=["measured_at", "sensor_id"]
    )
    frame = index.to_frame(index=False)
    site = frame["sensor_id"].map(installed.set_index("Sensor ID")["Site"])
    frame["temp_c"] = _temperatures(rng, frame["measured_at"], site.map(_SITES))
    warm = frame["temp_c"] - frame["temp_c"].mean()
    wetter = frame["measured_at"].dt.month.map({6: 0.0, 7: 0.4, 8: 1.3})
    frame["humidity_g_m3"] = (10 + wetter + 0.2 * warm + rng.normal(0, 1, len(frame))).round(2)
    frame["battery_v"] = _batteries(rng, frame)
    return _with_faults(rng, frame)


def _temperatures(
    rng: np.random.Generator, times: "pd.Series[pd.Timestamp]", typical: "pd.Series[float]"
) -> "pd.Series[float]":
    by_day = 3.5 * np.sin((times.dt.hour - 9) / 24 * 2 * np.pi)
    by_season = 2.0 * np.sin((times.dt.dayofyear - 140) / 110 * np.pi)
    return pd.Series(typical + by_day + by_season + rng.normal(0, 1.5, len(times))).round(2)


def _batteries(rng: np.random.Generator, frame: pd.DataFrame) -> "pd.Series[float]":
    days = (frame["measured_at"] - frame["measured_at"].min()).dt.days
    names = frame["sensor_id"].unique()
    drain = pd.Series(rng.uniform(0.001, 0.009, len(names)), index=names)
    return pd.Series(3.3 - days * frame["sensor_id"].map(drain)).round(3)


def _with_faults(rng: np.random.Generator, frame: pd.DataFrame) -> pd.DataFrame:
    size = len(frame)
    blind = np.where(frame["sensor_id"] == _BLIND, 0.11, 0.012)
    frame.loc[rng.random(size) < blind, "temp_c"] = np.nan
    broken = frame["temp_c"].notna() & (rng.random(size) < 0.004)
    frame.loc[broken, "temp_c"] = rng.choice(_BROKEN, int(broken.sum()))
    lost = rng.random(size) < 0.02
    silent = frame.index[frame["sensor_id"] == _SILENT][300 : 300 + _SILENT_READINGS]
    lost[silent] = True
    return frame[~lost].reset_index(drop=True)


def _parquet(frame: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


# The questions


def _implausible(readings: pd.DataFrame) -> Question:
    temperatures = readings["temp_c"].dropna()
    return Question(
        id="sensors-implausible",
        text="How many temperature readings can't be real, i.e. are above 60 or below -30 degrees?",
        data=_READINGS,
        expects=(Number(int((~temperatures.between(-30, 60)).sum()), relative=0.0),),
    )


def _most_missing(readings: pd.DataFrame) -> Question:
    missing = readings["temp_c"].isna().groupby(readings["sensor_id"]).sum()
    sensor, count = first(missing)
    return Question(
        id="sensors-most-missing",
        text="Which sensor has the most readings without a temperature, and how many are there?",
        data=_READINGS,
        expects=(Words((sensor,)), Number(count, relative=0.0)),
    )


def _longest_gap(readings: pd.DataFrame) -> Question:
    ordered = readings.sort_values(["sensor_id", "measured_at"])
    gaps = ordered.groupby("sensor_id")["measured_at"].diff().dt.total_seconds() / 3600
    sensor, hours = first(gaps.groupby(ordered["sensor_id"]).max())
    return Question(
        id="sensors-longest-gap",
        text="One sensor went silent for a while. Which one had the longest gap between two "
        "successive readings, and how many hours was it?",
        data=_READINGS,
        expects=(Words((sensor,)), Number(hours)),
    )


def _correlation(readings: pd.DataFrame) -> Question:
    plausible = readings.query(_PLAUSIBLE)
    return Question(
        id="sensors-correlation",
        text="How strongly do temperature and humidity correlate if you leave out temperatures "
        "above 60 or below -30 degrees?",
        data=_READINGS,
        expects=(
            Number(
                float(plausible["temp_c"].corr(plausible["humidity_g_m3"])),
                absolute=0.01,
                relative=0.0,
            ),
        ),
    )


def _warmest_site(readings: pd.DataFrame, installed: pd.DataFrame) -> Question:
    plausible = readings.query(_PLAUSIBLE).merge(
        installed, left_on="sensor_id", right_on="Sensor ID"
    )
    site, warm = first(plausible.groupby("Site")["temp_c"].mean())
    return Question(
        id="sensors-warmest-site",
        text="Which site is the warmest on average and what is its mean temperature? Please ignore "
        "everything above 60 or below -30 degrees, those are sensor errors.",
        data=_WITH_SITES,
        expects=(Words((site,)), Number(warm)),
    )


def _low_battery(readings: pd.DataFrame) -> Question:
    july = readings[readings["measured_at"].dt.month == 7]
    low = july[july["battery_v"] < 3.0]
    return Question(
        id="sensors-low-battery",
        text="How many sensors dropped below 3.0 volts of battery at least once in July?",
        data=_READINGS,
        expects=(Number(low["sensor_id"].nunique(), relative=0.0),),
    )


def _humidity_change(readings: pd.DataFrame) -> Question:
    medians = readings.groupby(readings["measured_at"].dt.month)["humidity_g_m3"].median()
    return Question(
        id="sensors-humidity-change",
        text="How did the median humidity develop month by month from June to August? Give me the "
        "value of each month.",
        data=_READINGS,
        expects=tuple(Number(float(medians[month]), absolute=0.06) for month in (6, 7, 8)),
    )
