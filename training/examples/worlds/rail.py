"""Kestrel Rail: trips in PostgreSQL (`operations`), what the gates counted in a container
(`gates`), by the clock on the platform."""

import numpy as np
import pandas as pd

from training.evaluation.dataset import Words
from training.examples.world import Origin, Truth, World, about, exactly, percent

ZONE = "Europe/Vienna"
_LINES = {"R1": 0.45, "R2": 0.35, "S7": 0.20}
# typical delay in minutes before and after the new timetable: worse on each line
_DELAY = {"R1": (1.6, 1.8), "R2": (3.4, 3.8), "S7": (5.6, 6.2)}
_NEW = "2025-09-01"

_SCHEMA = """
CREATE TABLE trips (
    trip_id integer PRIMARY KEY, line text NOT NULL, scheduled timestamptz NOT NULL,
    departed timestamptz, passengers integer);
COMMENT ON COLUMN trips.departed IS 'Null when the trip was cancelled';
COMMENT ON COLUMN trips.passengers IS 'Null when nobody counted';
"""


def world() -> World:
    rail = _Rail(np.random.default_rng(7302))
    return World(
        database=Origin("operations", "Kestrel Rail's trips; local time is Europe/Vienna"),
        schema=_SCHEMA,
        tables={"trips": rail.trips},
        lake=Origin("gates", "People counted by the gates, by the clock on the platform"),
        files=rail.files(),
        truths={
            "rail-long-day": rail.long_day(),
            "rail-gate-clock": rail.gate_clock(),
            "rail-punctuality": rail.punctuality(),
            "rail-timetable": rail.timetable(),
            "rail-passagers": rail.weekday(),
            "rail-occupancy": rail.occupancy(),
            "rail-weeks": rail.weeks(),
        },
    )


class _Rail:
    """The frames, and what they say."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._full = _trips(rng)
        self.trips = self._full.assign(
            scheduled=self._full["scheduled"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            departed=self._full["departed"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        self._local = self._full["scheduled"].dt.tz_convert(ZONE)
        self._gates = _gates(rng)

    def files(self) -> dict[str, bytes]:
        told = pd.DataFrame(
            {
                "local_time": self._gates["at"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d %H:%M"),
                "people": self._gates["people"],
            }
        )
        return {"2025-10-26.csv": told.to_csv(index=False).encode()}

    def long_day(self) -> Truth:
        day = self._local.dt.strftime("%Y-%m-%d") == "2025-10-26"
        utc = self._full["scheduled"].dt.strftime("%Y-%m-%d") == "2025-10-26"
        assert day.sum() != utc.sum()
        return exactly(int(day.sum())), exactly(25), exactly(int(utc.sum()))

    def gate_clock(self) -> Truth:
        two = self._gates["at"].dt.tz_convert(ZONE).dt.hour == 2
        summer = two & (self._gates["at"].dt.hour == 0)
        people = self._gates["people"]
        return (
            exactly(int(people[summer].sum())),
            exactly(int(people[two & ~summer].sum())),
            exactly(int(people.sum())),
        )

    def _delays(self) -> pd.DataFrame:
        delay = (self._full["departed"] - self._full["scheduled"]).dt.total_seconds() / 60
        return self._full.assign(delay=delay)

    def punctuality(self) -> Truth:
        ran = self._delays().dropna(subset="departed")
        on_time = (ran["delay"] < 6).groupby(ran["line"]).mean()
        p95 = ran.groupby("line")["delay"].quantile(0.95)
        return (
            Words((str(on_time.idxmin()),)),
            *(percent(float(each)) for each in on_time),
            about(float(p95.max()), within=0.06),
        )

    def timetable(self) -> Truth:
        ran = self._delays().dropna(subset="departed")
        new = self._local[ran.index].dt.strftime("%Y-%m-%d") >= _NEW
        mean = ran.groupby(new)["delay"].mean()
        by = ran.groupby(["line", new])["delay"].mean().unstack()
        assert mean[True] < mean[False] and (by[True] > by[False]).all()
        return about(mean[False], within=0.01), about(mean[True], within=0.01), exactly(3)

    def weekday(self) -> Truth:
        counted = self._full["passengers"].notna()
        mean = self._full["passengers"][counted].groupby(self._local[counted].dt.dayofweek).mean()
        names = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
        return (
            Words((names[mean.index.tolist()[int(mean.argmax())]],)),
            about(mean.max(), within=0.06),
            about(mean.min(), within=0.06),
        )

    def occupancy(self) -> Truth:
        people = self._full["passengers"]
        ran = self._full["departed"].notna()
        return (
            about(people[ran].mean(), within=0.06),
            exactly(int((people.isna() & ran).sum())),
            about(people[ran].fillna(0).mean(), within=0.06),
        )

    def weeks(self) -> Truth:
        people = self._full.assign(day=self._local.dt.tz_localize(None).dt.normalize())
        week = people["day"].dt.to_period("W-SUN").dt.start_time
        total = people.groupby(week)["passengers"].sum()
        days = people.groupby(week)["day"].nunique()
        whole = total[days == 7]
        best = pd.DatetimeIndex(whole.index)[int(whole.argmax())]
        return (
            Words((f"{best.day} {best:%B}", f"{best:%Y-%m-%d}")),
            exactly(int(whole.max())),
            exactly(int((days < 7).sum())),
        )


def _trips(rng: np.random.Generator) -> pd.DataFrame:
    """A trip every quarter of an hour, from July to October; two days were never recorded."""
    scheduled = pd.date_range("2025-06-30 22:00", "2025-11-02 22:00", freq="20min", tz="UTC")
    local = scheduled.tz_convert(ZONE)
    lost = local.strftime("%Y-%m-%d").isin(["2025-08-13", "2025-08-14"])
    night = (local.hour < 5) & (local.minute % 40 != 0)
    scheduled = scheduled[~(lost | night)]
    count = len(scheduled)
    local = scheduled.tz_convert(ZONE)
    new = local >= pd.Timestamp(_NEW, tz=ZONE)
    line = np.where(
        new,
        rng.choice(list(_LINES), count, p=[0.62, 0.28, 0.10]),
        rng.choice(list(_LINES), count, p=[0.28, 0.36, 0.36]),
    )
    typical = np.array([_DELAY[each][int(late)] for each, late in zip(line, new, strict=True)])
    delay = np.round(rng.gamma(1.4, typical / 1.4) * 60).astype("timedelta64[s]")
    weekday = np.array([1.0, 1.02, 1.03, 1.05, 1.16, 0.74, 0.62])[local.dayofweek]
    rush = np.where(np.isin(local.hour, (7, 8, 16, 17)), 1.9, np.where(local.hour < 5, 0.25, 1.0))
    people = rng.poisson(82 * weekday * rush).astype(float)
    people[rng.random(count) < 0.06] = np.nan
    cancelled = rng.random(count) < 0.013
    people[cancelled] = np.nan
    return pd.DataFrame(
        {
            "trip_id": np.arange(1, count + 1),
            "line": line,
            "scheduled": scheduled,
            "departed": pd.Series(scheduled + delay).mask(cancelled),
            "passengers": pd.array(people, dtype="Int64"),
        }
    )


def _gates(rng: np.random.Generator) -> pd.DataFrame:
    """The night on which the clock was put back: every ten minutes, in the order of counting."""
    at = pd.date_range("2025-10-25 22:00", "2025-10-26 22:50", freq="10min", tz="UTC")
    return pd.DataFrame({"at": at, "people": rng.poisson(19, len(at))})
