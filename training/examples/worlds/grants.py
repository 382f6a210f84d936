"""A foundation's grants: institutions, applications and awards in PostgreSQL (`registry`), what was
published each year as CSV in a container (`portal`), each year in another form."""

import numpy as np
import pandas as pd

from training.evaluation.dataset import Words
from training.examples.world import Origin, Truth, World, exactly, percent

_PLACES = ("Graz", "Lyon", "Porto", "Gent", "Turku", "Brno", "Sevilla", "Aarhus")
_KINDS = ("Universität {}", "Institut {}", "Museum {}", "Hochschule {}", "Archiv {}")

_SPANISH = {4: "cuatro", 5: "cinco"}

_SCHEMA = """
CREATE TABLE awards (
    award_id integer PRIMARY KEY, recipient text NOT NULL, amount_eur numeric(12,2) NOT NULL,
    awarded_on date NOT NULL);
CREATE TABLE applications (
    application_id integer PRIMARY KEY, recipient text NOT NULL, requested text,
    received text);
COMMENT ON TABLE applications IS 'As typed in from paper forms';
COMMENT ON COLUMN applications.requested IS 'In euros, as written on the form';
"""


def world() -> World:
    grants = _Grants(np.random.default_rng(7309))
    return World(
        database=Origin("registry", "Awards and applications of the foundation"),
        schema=_SCHEMA,
        tables={"awards": grants.awards, "applications": grants.applications},
        lake=Origin("portal", "Published awards, a CSV for each year"),
        files=grants.files(),
        truths={
            "grants-by-year": grants.by_year(),
            "grants-published": grants.published(),
            "grants-requested": grants.requested(),
            "grants-received": grants.received(),
            "grants-concentration": grants.concentration(),
            "grants-clasificacion": grants.ranking(),
            "grants-spellings": grants.spellings(),
        },
    )


class _Grants:
    """The frames, and what they say."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.awards = _awards(rng)
        self._year = self.awards["awarded_on"].str[:4]
        self._asked = _asked(rng)
        self.applications = _typed(rng, self._asked)
        self._unpublished, self._only_published = 6, 2
        self._names = [kind.format(place) for kind in _KINDS for place in _PLACES]

    def _of(self, year: str) -> pd.DataFrame:
        return self.awards[self._year == year]

    def files(self) -> dict[str, bytes]:
        old, middle, new = self._of("2023"), self._of("2024"), self._published_2025()
        old_told = pd.DataFrame(
            {
                "Empfänger": old["recipient"],
                "Betrag": old["amount_eur"].map(lambda each: f"{each:.2f}".replace(".", ",")),
                "Datum": pd.to_datetime(old["awarded_on"]).dt.strftime("%d.%m.%Y"),
            }
        )
        middle_told = middle.rename(columns={"amount_eur": "amount", "awarded_on": "award_date"})
        new_told = pd.DataFrame(
            {
                "recipient": new["recipient"],
                "amount_keur": (new["amount_eur"] / 1000).round(5),
                "awarded_on": new["awarded_on"],
            }
        )
        return {
            "awards/2023.csv": old_told.to_csv(index=False, sep=";").encode("latin-1"),
            "awards/2024.csv": middle_told[["recipient", "amount", "award_date"]]
            .to_csv(index=False)
            .encode(),
            "awards/2025.csv": new_told.to_csv(index=False).encode(),
        }

    def _published_2025(self) -> pd.DataFrame:
        kept = self._of("2025").iloc[self._unpublished :]
        extra = kept.iloc[:2].assign(recipient=["Theater Split", "Verein Nordlicht"])
        return pd.concat([kept, extra], ignore_index=True)

    def by_year(self) -> Truth:
        total = [self._of("2023"), self._of("2024"), self._published_2025()]
        return tuple(exactly(round(float(each["amount_eur"].sum()), 2)) for each in total)

    def published(self) -> Truth:
        missing = self._of("2025").iloc[: self._unpublished]
        return (
            exactly(len(missing)),
            exactly(round(float(missing["amount_eur"].sum()), 2)),
            exactly(2),
            Words(("Theater Split",)),
        )

    def requested(self) -> Truth:
        told = self._asked["euros"].notna()
        return (
            exactly(int(self._asked.loc[told, "euros"].sum())),
            exactly(int(told.sum())),
            exactly(int((~told).sum())),
        )

    def received(self) -> Truth:
        readable = self._asked["day"].notna()
        late = self._asked["day"] > pd.Timestamp("2025-03-31")
        return exactly(int(late.sum())), exactly(int((~readable).sum()))

    def concentration(self) -> Truth:
        total = self.awards.groupby("recipient")["amount_eur"].sum().sort_values(ascending=False)
        top = total.head(len(total) // 10)
        return percent(top.sum() / total.sum()), exactly(len(top)), Words((str(top.index[0]),))

    def ranking(self) -> Truth:
        times = self.awards["recipient"].value_counts()
        third = times.sort_values(ascending=False).iloc[2]
        best = times[times >= third]
        assert len(best) > 3
        return Words((_SPANISH[len(best)],)), *(Words((str(each),)) for each in best.index)

    def spellings(self) -> Truth:
        return (
            exactly(self.applications["recipient"].nunique()),
            exactly(int(self._asked["recipient"].nunique())),
        )


def _awards(rng: np.random.Generator) -> pd.DataFrame:
    names = [kind.format(place) for kind in _KINDS for place in _PLACES]
    weight = rng.lognormal(0, 0.5, len(names))
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(
        np.sort(rng.integers(0, 1096, 520)), unit="D"
    )
    return pd.DataFrame(
        {
            "award_id": range(1, 521),
            "recipient": rng.choice(names, 520, p=weight / weight.sum()),
            "amount_eur": np.round(rng.lognormal(10.2, 0.9, 520), 2),
            "awarded_on": day.strftime("%Y-%m-%d"),
        }
    )


def _asked(rng: np.random.Generator) -> pd.DataFrame:
    """What was meant on the forms."""
    names = [kind.format(place) for kind in _KINDS for place in _PLACES]
    day = pd.Series(
        pd.Timestamp("2025-01-02") + pd.to_timedelta(rng.integers(0, 110, 300), unit="D")
    )
    euros = pd.Series(rng.integers(20, 900, 300) * 100.0)
    return pd.DataFrame(
        {
            "recipient": rng.choice(names, 300),
            "euros": euros.mask(rng.random(300) < 0.06),
            "day": day.mask(rng.random(300) < 0.04),
        }
    )


def _typed(rng: np.random.Generator, asked: pd.DataFrame) -> pd.DataFrame:
    """What was typed in: several hands."""
    money = (
        lambda each: f"{each:.0f}",
        lambda each: f"{each:,.0f} €".replace(",", "."),
        lambda each: f"EUR {each:.2f}",
        lambda each: f"{each:,.0f}".replace(",", " "),
    )
    dates = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y")
    hand = rng.integers(0, 4, 300)
    blank = rng.choice(["k. A.", "", "?"], 300)
    wrong = rng.choice(["30.02.2025", "undated", ""], 300)
    spelled = [
        (name, name.upper(), name + " ", name.replace("Universität", "Univ."))[each]
        for name, each in zip(asked["recipient"], rng.integers(0, 4, 300), strict=True)
    ]
    return pd.DataFrame(
        {
            "application_id": range(1, 301),
            "recipient": spelled,
            "requested": [
                none if pd.isna(each) else money[way](each)
                for each, way, none in zip(asked["euros"], hand, blank, strict=True)
            ],
            "received": [
                none if pd.isna(each) else each.strftime(dates[way % 3])
                for each, way, none in zip(asked["day"], hand, wrong, strict=True)
            ],
        }
    )
