"""Limits in words: a table, and questions over data of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.engines.rules.limits import limit
from tests.inference.rules_data.loop import ask

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("orders over 100", "compare", (">", "100")),
        ("orders of at least 1,250.50", "compare", (">=", "1250.50")),
        ("below -30 degrees", "compare", ("<", "-30")),
        ("a status of 500 or more", "compare", (">=", "500")),
        ("50 or less", "compare", ("<=", "50")),
        ("60 and up", "compare", (">=", "60")),
        ("above 60 or below -30", "beyond", ("-30", "60")),
        ("below −30 or above 60", "beyond", ("-30", "60")),
        ("above 5 and below 10", "between", ("5", "10")),
        ("between 5 and 10", "between", ("5", "10")),
        ("from 10 to 5", "between", ("5", "10")),
        ("ignoring everything above 60", "compare", ("<=", "60")),
        ("please ignore all values above 60 or below -30", "between", ("-30", "60")),
        ("leaving out those between 5 and 10", "beyond", ("5", "10")),
        ("excluding orders under 20", "compare", (">=", "20")),
    ],
)
def test_limit_in_words(text: str, kind: str, values: tuple[str, str]) -> None:
    found = limit(text)
    assert found is not None and (found.kind, found.values) == (kind, values)
    assert text[slice(*found.span)]


@pytest.mark.parametrize(
    "text",
    ["", "orders in 2024", "between 2022 and 2023", "from 2022 to 2023", "over the year", "top 5",
     "under 30-day terms", "since 2024-05-01", "more orders", "the first 10"],
)  # fmt: skip
def test_no_limit(text: str) -> None:
    assert limit(text) is None


@given(st.text(alphabet="abov e<>=0123456789.,-−betwnadrl"))
def test_any_text_is_read(text: str) -> None:
    found = limit(text)
    if found is not None:
        numbers = found.values[1:] if found.kind == "compare" else found.values
        assert all(np.isfinite(float(number)) for number in numbers)
        assert found.turned().turned() == found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("probes")
    rng = np.random.default_rng(5)
    probes = pd.DataFrame(
        {
            "probe": rng.choice(["north", "south", "west"], 900),
            "pressure": np.round(rng.normal(50, 20, 900), 1),
            "flow": np.round(rng.normal(8, 2, 900), 2),
        }
    )
    probes.to_csv(made / "probes.csv", index=False)
    return made


def probes(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "probes.csv")


def headline(question: str, folder: Path) -> str:
    found = ask(question, folder)
    assert not found.failed, found.failed
    assert "did not understand" not in found.answer, found.answer
    return found.answer.replace("*", "").replace(",", "")[:600]


def test_counts_beyond_and_between(folder: Path) -> None:
    table = probes(folder)
    beyond = ((table["pressure"] > 80) | (table["pressure"] < 20)).sum()
    assert f": {beyond}" in headline(
        "How many probes have a pressure above 80 or below 20?", folder
    )
    within = table["pressure"].between(40, 60).sum()
    assert f": {within}" in headline("How many probes have a pressure between 40 and 60?", folder)
    more = (table["pressure"] >= 70).sum()
    assert f": {more}" in headline("How many probes have a pressure of 70 or more?", folder)


def test_means_without_what_is_left_out(folder: Path) -> None:
    table = probes(folder)
    kept = table[(table["pressure"] <= 80) & (table["pressure"] >= 20)]
    told = headline("What is the mean pressure, ignoring a pressure above 80 or below 20?", folder)
    assert f"{kept['pressure'].mean():.2f}" in told
