"""Halm & Co brew beer: batches in PostgreSQL (`plant`), tank sensors and the laboratory's workbook
in a container (`lab`)."""

import gzip
import io

import numpy as np
import openpyxl
import pandas as pd

from dev.workbooks import timeless
from training.evaluation.dataset import Words
from training.examples.world import Origin, Truth, World, about, exactly, percent

_RECIPES = {"Helles": 4.9, "Pils": 5.1, "Weizen": 5.4, "Stout": 6.2}
_BATCHES = 240
# since when the new sensor of this tank tells Fahrenheit
_TANK, _SINCE = "T4", "2026-02-11"

_SCHEMA = """
CREATE TABLE batches (
    batch_id text PRIMARY KEY, recipe text NOT NULL, brewed_on date NOT NULL, yeast text NOT NULL,
    hours numeric(6,1) NOT NULL, volume_l numeric(8,1) NOT NULL);
COMMENT ON COLUMN batches.hours IS 'From pitching until fermentation was over';
COMMENT ON COLUMN batches.yeast IS 'Supplier of the yeast: Arden or Bruun';
"""


def world() -> World:
    brewery = _Brewery(np.random.default_rng(7303))
    return World(
        database=Origin("plant", "Halm & Co: batches that were brewed"),
        schema=_SCHEMA,
        tables={"batches": brewery.batches},
        lake=Origin("lab", "Tank temperatures (gzipped CSV by month), laboratory results (Excel)"),
        files=brewery.files(),
        truths={
            "brewery-tank-temperature": brewery.temperature(),
            "brewery-outliers": brewery.outliers(),
            "brewery-alcohol": brewery.alcohol(),
            "brewery-yeast": brewery.yeast(),
            "brewery-volume": brewery.volume(),
            "brewery-handover": brewery.handover(),
        },
    )


class _Brewery:
    """The frames, and what they say."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.batches = _batches(rng)
        self._celsius = _temperatures(rng)
        self._lab = _lab(rng, self.batches)

    def files(self) -> dict[str, bytes]:
        told = self._celsius.copy()
        odd = (told["tank"] == _TANK) & (told["at"] >= _SINCE)
        told.loc[odd, "temp"] = (told.loc[odd, "temp"] * 1.8 + 32).round(1)
        text = told.to_csv(index=False).encode()
        return {
            "tanks/2026-02.csv.gz": gzip.compress(text, mtime=0),
            "results.xlsx": _workbook(self._lab),
        }

    def temperature(self) -> Truth:
        mean = self._celsius.groupby("tank")["temp"].mean()
        return about(mean[_TANK], within=0.06), Words((_TANK,)), Words(("11 February", _SINCE))

    def _off(self) -> "pd.Series[str]":
        hours = self.batches["hours"]
        by = self.batches.groupby("recipe")["hours"]
        off = (hours - by.transform("median")).abs()
        spread = off.groupby(self.batches["recipe"]).transform("median") * 1.4826
        return self.batches.loc[off / spread > 5, "batch_id"]

    def outliers(self) -> Truth:
        found = self._off()
        return exactly(len(found)), *(Words((each,)) for each in found)

    def alcohol(self) -> Truth:
        last = self._lab.drop_duplicates("batch", keep="last")
        joined = last.merge(self.batches, left_on="batch", right_on="batch_id")
        mean = joined.groupby("recipe")["abv"].mean()
        return (
            exactly(len(last)),
            exactly(len(self._lab) - len(last)),
            *(percent(each / 100, within=0.006) for each in mean),
        )

    def yeast(self) -> Truth:
        usual = self.batches[~self.batches["batch_id"].isin(self._off())]
        helles = usual[usual["recipe"] == "Helles"]
        mean = helles.groupby("yeast")["hours"].mean()
        return (
            about(mean["Arden"], within=0.06),
            about(mean["Bruun"], within=0.06),
            Words(("more than chance",)),
        )

    def volume(self) -> Truth:
        quarter = pd.to_datetime(self.batches["brewed_on"]).dt.to_period("Q").astype(str)
        last = self.batches[quarter == "2025Q4"]
        return exactly(round(float(last["volume_l"].sum()), 1)), exactly(len(last))

    def handover(self) -> Truth:
        stout = self.batches.query("recipe == 'Stout'")
        share = stout["volume_l"].sum() / self.batches["volume_l"].sum()
        return exactly(len(stout)), Words(("results/stout/",)), percent(float(share))


def _batches(rng: np.random.Generator) -> pd.DataFrame:
    recipe = rng.choice(list(_RECIPES), _BATCHES, p=[0.4, 0.25, 0.2, 0.15])
    yeast = rng.choice(["Arden", "Bruun"], _BATCHES)
    typical = pd.Series(recipe).map({"Helles": 168, "Pils": 190, "Weizen": 120, "Stout": 150})
    hours = typical + rng.normal(0, 9, _BATCHES) + np.where(yeast == "Bruun", -7.5, 0.0)
    for at, wrong in ((31, 1.9), (77, 2.3), (150, 0.42), (201, 1.7)):
        hours[at] = hours[at] * wrong
    # one was noted in minutes
    hours[118] = hours[118] * 60
    day = pd.Timestamp("2025-07-01") + pd.to_timedelta(
        np.sort(rng.integers(0, 240, _BATCHES)), unit="D"
    )
    return pd.DataFrame(
        {
            "batch_id": [f"B{1000 + at}" for at in range(_BATCHES)],
            "recipe": recipe,
            "brewed_on": day.strftime("%Y-%m-%d"),
            "yeast": yeast,
            "hours": hours.round(1),
            "volume_l": np.round(rng.normal(2150, 60, _BATCHES), 1),
        }
    )


def _temperatures(rng: np.random.Generator) -> pd.DataFrame:
    at = pd.date_range("2026-02-01", "2026-02-28 23:00", freq="h")
    parts = [
        pd.DataFrame(
            {
                "tank": tank,
                "at": at.strftime("%Y-%m-%d %H:%M"),
                "temp": np.round(base + rng.normal(0, 0.35, len(at)), 1),
            }
        )
        for tank, base in (("T1", 9.4), ("T2", 9.8), ("T3", 12.1), ("T4", 11.6))
    ]
    return pd.concat(parts, ignore_index=True)


def _lab(rng: np.random.Generator, batches: pd.DataFrame) -> pd.DataFrame:
    """In the order of testing; a batch that was tested again counts by its last result."""
    abv = batches["recipe"].map(_RECIPES) + rng.normal(0, 0.12, len(batches))
    first = pd.DataFrame(
        {"batch": batches["batch_id"], "tested_on": batches["brewed_on"], "abv": abv.round(2)}
    )
    again = first.iloc[rng.choice(len(first), 17, replace=False)].copy()
    again["tested_on"] = "2026-03-02"
    again["abv"] = (again["abv"] + 0.3).round(2)
    return pd.concat([first, again.sort_values("batch")], ignore_index=True)


def _workbook(lab: pd.DataFrame) -> bytes:
    """A title above the table, a sheet for each year, and results as a laboratory writes them."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for year, rows in lab.groupby(lab["tested_on"].str[:4]):
        sheet = book.create_sheet(str(year))
        sheet.append([f"Laboratory Halm & Co, {year}"])
        sheet.append([])
        sheet.append(["Batch", "Tested on", "ABV %"])
        for at, each in enumerate(rows.itertuples()):
            abv = f"{each.abv:.2f}".replace(".", ",") if at % 11 == 0 else each.abv
            sheet.append([each.batch, each.tested_on, abv])
    content = io.BytesIO()
    book.save(content)
    return timeless(content)
