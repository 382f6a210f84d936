"""Ways of asking that go beyond one measure and one split: a table of questions over a small shop
whose right answers pandas gives."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.inference.engines.rules import durations
from services.inference.engines.rules.analyses.repeats import often
from services.inference.engines.rules.limits import signed
from services.inference.engines.rules.times import period
from tests.inference.rules_data.judging import Expected, best, every, misses, one, share
from tests.inference.rules_data.loop import ask

pytestmark = pytest.mark.filterwarnings("ignore")
Tables = dict[str, pd.DataFrame]
_CLIENTS, _PURCHASES = 90, 700


def _made() -> Tables:
    rng = np.random.default_rng(77)
    clients = pd.DataFrame(
        {
            "client_id": range(1, _CLIENTS + 1),
            "client": [f"Client {n}" for n in range(1, _CLIENTS + 1)],
            "region": rng.choice(["Delta", "Hills", "Coast"], _CLIENTS, p=[0.5, 0.3, 0.2]),
            "left_on": [f"2024-0{1 + n % 9}-15" if n % 5 == 0 else None for n in range(_CLIENTS)],
        }
    )
    # ten clients never buy, and one in seven spells its category in its own way
    category = rng.choice(["Garden", "Kitchen", "Office"], _PURCHASES)
    spelled = [c.upper() if n % 7 == 0 else c for n, c in enumerate(category)]
    purchases = pd.DataFrame(
        {
            "purchase_id": range(5_000, 5_000 + _PURCHASES),
            "client_id": rng.integers(1, _CLIENTS - 9, _PURCHASES),
            "bought_on": pd.Timestamp("2023-01-01")
            + pd.to_timedelta(rng.integers(0, 730, _PURCHASES), "D"),
            "category": spelled,
            "quantity": rng.integers(1, 9, _PURCHASES),
            "unit_price": np.round(rng.uniform(4, 90, _PURCHASES), 2),
            "cost": np.round(rng.uniform(1, 30, _PURCHASES), 2),
            "rating": np.where(np.arange(_PURCHASES) % 6 == 0, np.nan, rng.integers(1, 6, _PURCHASES)),
            "balance": np.round(rng.normal(0, 40, _PURCHASES), 2),
        }
    )  # fmt: skip
    return {"clients": clients, "purchases": purchases}


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Path, Tables]:
    tables = _made()
    for name, frame in tables.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path, tables


def _bought(t: Tables) -> pd.DataFrame:
    found = t["purchases"].merge(t["clients"], on="client_id")
    return found.assign(
        category=found["category"].str.capitalize(),
        revenue=found["quantity"] * found["unit_price"],
    )


def _times(t: Tables) -> pd.Series:
    return t["purchases"].groupby("client_id").size()


def _in(t: Tables, start: str, end: str) -> pd.DataFrame:
    found = _bought(t)
    return found[(found["bought_on"] >= start) & (found["bought_on"] < end)]


QUESTIONS: list[tuple[str, Callable[[Tables], Expected]]] = [
    # a measure that is spelled out
    ("Which category has the highest revenue (quantity times unit price)?", lambda t: best(_bought(t).groupby("category")["revenue"].sum().round(2))),
    ("What is the total of quantity times unit price?", lambda t: one(round(_bought(t)["revenue"].sum(), 2))),
    ("What is the average margin (unit price minus cost) by region?", lambda t: every((_bought(t)["unit_price"] - _bought(t)["cost"]).groupby(_bought(t)["region"]).mean())),
    # how often one thing occurs
    ("How many clients made more than ten purchases?", lambda t: one((_times(t) > 10).sum())),
    ("How many clients have at least 12 purchases?", lambda t: one((_times(t) >= 12).sum())),
    ("How many clients bought more than 10 times?", lambda t: one((_times(t) > 10).sum())),
    # the spellings of one category are one
    ("How many purchases are there per category?", lambda t: every(_bought(t)["category"].value_counts())),
    ("How many garden purchases were there?", lambda t: one((_bought(t)["category"] == "Garden").sum())),
    # from one row to the next
    ("What is the longest gap between two successive purchases, in days?", lambda t: one(t["purchases"]["bought_on"].sort_values().diff().dt.days.max())),
    # shares of gaps and of limits
    ("What percentage of purchases has no rating?", lambda t: one(t["purchases"]["rating"].isna().mean(), share)),
    ("What share of our clients has left?", lambda t: one(t["clients"]["left_on"].notna().mean(), share)),
    ("What percentage of purchases has a rating of 4 or more?", lambda t: one((t["purchases"]["rating"].dropna() >= 4).mean(), share)),
    ("How many clients have left?", lambda t: one(t["clients"]["left_on"].notna().sum())),
    # periods
    ("What did we sell (quantity) from March to May 2024?", lambda t: one(_in(t, "2024-03-01", "2024-06-01")["quantity"].sum())),
    ("How many purchases between January and March 2023?", lambda t: one(len(_in(t, "2023-01-01", "2023-04-01")))),
    # signs
    ("How many purchases have a negative balance?", lambda t: one((t["purchases"]["balance"] < 0).sum())),
    # per thing: the sum by group, divided by how many things
    ("Which region buys the highest quantity per client?", lambda t: best(_bought(t).groupby("region")["quantity"].sum() / _bought(t).groupby("region")["client_id"].nunique())),
    # what is not there to be counted
    ("How many clients have never bought anything?", lambda t: one((~t["clients"]["client_id"].isin(t["purchases"]["client_id"])).sum())),
    ("Which category has the most purchases without a rating?", lambda t: best(_bought(t)[_bought(t)["rating"].isna()]["category"].value_counts())),
]  # fmt: skip


@pytest.mark.req("C4")
@pytest.mark.parametrize(("question", "right"), QUESTIONS, ids=[q for q, _ in QUESTIONS])
def test_answer(shop: tuple[Path, Tables], question: str, right: Callable[[Tables], Expected]):
    folder, tables = shop
    run = ask(question, folder)
    assert not run.failed, run.failed[-1]
    wrong = misses(run.answer, right(tables))
    assert not wrong, run.answer
    assert "did not understand" not in run.answer, run.answer


@pytest.mark.req("C4")
@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("What is the average weight of a parcel?", "weight"),
        ("How tall are our clients on average?", "tall"),
        ("What is the highest temperature by region?", "temperature"),
    ],
)
def test_what_the_data_cannot_tell_is_not_answered_with_something_else(
    shop: tuple[Path, Tables], question: str, told: str
):
    answer = ask(question, shop[0]).answer
    assert answer.startswith("**I could not tell what to compute for this question.**")
    assert told in answer.splitlines()[0]
    assert "Questions that I can answer" in answer


@pytest.mark.parametrize(
    ("text", "operator", "times"),
    [
        ("clients with three or more times", ">=", 3),
        ("who bought at least twice", ">=", 2),
        ("more than once", ">", 1),
        ("more than 12 orders", ">", 12),
        ("exactly 2 times", "==", 2),
        ("only once", "==", 1),
        ("at most five times", "<=", 5),
        ("4 times or fewer", "<=", 4),
    ],
)
def test_how_often(text: str, operator: str, times: int):
    found = often(text)
    assert found is not None and (found.operator, found.times) == (operator, times)


@pytest.mark.parametrize("text", ["", "how often", "the most orders", "three clients", "a dozen"])
def test_no_word_of_how_often(text: str):
    assert often(text) is None


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("sales from March to May 2024", "2024-03-01", "2024-06-01"),
        ("between January and March 2023", "2023-01-01", "2023-04-01"),
        ("from November to December 2023", "2023-11-01", "2024-01-01"),
        ("in March 2024", "2024-03-01", "2024-04-01"),
    ],
)
def test_a_range_of_months(text: str, start: str, end: str):
    found = period(text, date(2024, 12, 31))
    assert found is not None and (found.start, found.end) == (start, end)


def test_a_sign_is_a_limit_only_before_a_number_that_is_named():
    text = "clients with a negative balance and positive reviews"
    found = signed(text, {text.index("balance")})
    assert found is not None and (found.kind, found.values) == ("compare", ("<", "0"))
    assert signed(text, set()) is None


# lengths of time, ages and weekends


def _hospital() -> Tables:
    rng = np.random.default_rng(3)
    patients = pd.DataFrame(
        {
            "patient_no": range(1, 161),
            "sex": rng.choice(["F", "M"], 160),
            "birth_date": pd.Timestamp("1930-01-01")
            + pd.to_timedelta(rng.integers(0, 80 * 365, 160), "D"),
        }
    )
    admitted = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 365 * 24, 500), "h")
    stays = pd.DataFrame(
        {
            "stay_id": range(500),
            "patient_no": rng.integers(1, 141, 500),
            "ward": rng.choice(["Surgery", "Maternity", "Eyes"], 500),
            "admitted": admitted,
            "first_seen_at": admitted + pd.to_timedelta(rng.integers(5, 400, 500), "min"),
            "discharged": admitted + pd.to_timedelta(rng.integers(1, 20 * 24, 500), "h"),
        }
    )
    stays.loc[::17, "discharged"] = pd.NaT
    return {"patients": patients, "stays": stays}


@pytest.fixture
def hospital(tmp_path: Path) -> tuple[Path, Tables]:
    tables = _hospital()
    for name, frame in tables.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path, tables


def _stayed(t: Tables) -> pd.DataFrame:
    found = t["stays"].merge(t["patients"], on="patient_no")
    hours = (found["discharged"] - found["admitted"]).dt.total_seconds() / 3600
    waited = (found["first_seen_at"] - found["admitted"]).dt.total_seconds() / 60
    age = (found["admitted"] - found["birth_date"]).dt.days // 365.25
    return found.assign(hours=hours, days=hours / 24, waited=waited, age=age)


STAYS: list[tuple[str, Callable[[Tables], Expected]]] = [
    ("What is the average length of a stay, in days?", lambda t: Expected(f"{_stayed(t)['days'].mean():.2f} days")),
    ("How many hours do patients stay on average?", lambda t: Expected(f"{_stayed(t)['hours'].mean():.2f} hours")),
    ("How long until patients are first seen, in minutes, by ward?", lambda t: every(_stayed(t).groupby("ward")["waited"].mean(), lambda value: f"{value:.2f} minutes")),
    ("How many stays lasted longer than ten days?", lambda t: Expected(str((_stayed(t)["days"] > 10).sum()))),
    ("What share of stays ended within a week?", lambda t: one((_stayed(t)["days"].dropna() <= 7).mean(), share)),
    ("What is the average age of patients at admission?", lambda t: Expected(f"{_stayed(t)['age'].mean():.2f}")),
    ("How many patients over 60 at admission were there on the eyes ward?", lambda t: Expected(str(((_stayed(t)["age"] > 60) & (_stayed(t)["ward"] == "Eyes")).sum()))),
    ("How many stays were admitted on a weekend?", lambda t: one((t["stays"]["admitted"].dt.dayofweek >= 5).sum())),
    ("What fraction of the patients are women?", lambda t: one((t["patients"]["sex"] == "F").mean(), share)),
]  # fmt: skip


@pytest.mark.req("C4")
@pytest.mark.parametrize(("question", "right"), STAYS, ids=[q for q, _ in STAYS])
def test_lengths_of_time_and_ages(
    hospital: tuple[Path, Tables], question: str, right: Callable[[Tables], Expected]
):
    run = ask(question, hospital[0])
    assert not run.failed, run.failed[-1]
    assert not misses(run.answer, right(hospital[1])), run.answer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("closed within 24 hours", ("<=", "24", "hours")),
        ("within a day of opening", ("<=", "1", "days")),
        ("took more than two days", (">", "2", "days")),
        ("longer than 1.5 hours", (">", "1.5", "hours")),
        ("under 30 minutes", ("<", "30", "minutes")),
        ("3 weeks or longer", (">=", "3", "weeks")),
        ("10 days or less", ("<=", "10", "days")),
    ],
)
def test_limit_to_a_length_of_time(text: str, told: tuple[str, str, str]):
    found = durations.limit(text)
    assert found is not None and (found.operator, found.number, found.unit) == told
    assert text[slice(*found.span)]


@pytest.mark.parametrize("text", ["", "24 hours", "over 30 orders", "more than two", "in days"])
def test_no_limit_to_a_length_of_time(text: str):
    assert durations.limit(text) is None


def test_one_word_for_a_state_means_all_that_is_said_of_it(tmp_path: Path):
    kinds = ["sick", "Sick leave", "vacation"]
    absences = pd.DataFrame({"kind": np.resize(kinds, 300), "days": np.resize([1, 2, 3, 4], 300)})
    absences.to_csv(tmp_path / "absences.csv", index=False)
    answer = ask("How many days were lost to sickness in total?", tmp_path).answer
    assert f"{absences[absences['kind'] != 'vacation']['days'].sum():,}" in answer.splitlines()[2]
