"""The analyst answers from the data: each answer is held against pandas, computed here."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.inference.rules_data.loop import Message, Run, ask
from tests.inference.rules_data.samples import COMPANIES, Tables

pytestmark = pytest.mark.filterwarnings("ignore")
Expected = Callable[[Tables], list[str]]


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tables]]:
    root = tmp_path_factory.mktemp("companies")
    return {name: (root / name, make(root / name)) for name, make in COMPANIES.items()}


def shown(value: float) -> str:
    """A number as a person writes it: no decimals where there are none, else two."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.2f}"


def share(value: float) -> str:
    return f"{value * 100:.1f}%"


def _joined(tables: Tables) -> pd.DataFrame:
    orders = tables["orders"].merge(tables["customers"], on="customer_id")
    orders = orders.merge(tables["shipments"], on="order_id")
    orders["returned"] = orders["order_id"].isin(tables["refunds"]["order_id"])
    orders["late"] = orders["delivered_at"] > orders["promised_at"]
    return orders


def _staff(tables: Tables) -> pd.DataFrame:
    return tables["employees"].merge(tables["departments"], on="department_id")


def _of(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    return frame[frame[column] == value]


def _lines(tables: Tables) -> pd.DataFrame:
    lines = tables["order_lines"].merge(tables["products"], on="product_id")
    lines = lines.merge(tables["orders"], on="order_id")
    return lines.assign(revenue=lines["quantity"] * lines["unit_price"])


def top(series: pd.Series, form: Callable[[float], str] = shown) -> list[str]:
    """The first of a ranking, bold in the headline, with its value."""
    ranked = series.sort_values(ascending=False)
    return [f"**{ranked.index[0]} has the highest", form(ranked.iloc[0])]


def every(series: pd.Series, form: Callable[[float], str] = shown) -> list[str]:
    """Each group's row of the table."""
    return [f"| {name!s} | {form(value)} |" for name, value in series.items()]


def _retail_month(t: Tables) -> list[str]:
    counts = t["orders"].groupby(t["orders"]["ordered_at"].dt.strftime("%Y-%m")).size()
    return [
        f"**{counts.idxmax()} has the highest number of orders: {counts.max()}**",
        *every(counts),
    ]


def _q3(t: Tables) -> list[str]:
    orders = t["orders"]
    kept = orders[orders["ordered_at"].between("2025-07-01", "2025-09-30")]
    return [f": {shown(round(kept['total'].sum(), 2))}**", f"{len(kept):,} rows went in"]


def _hired(t: Tables) -> list[str]:
    years = pd.to_datetime(t["employees"]["hire_date"], format="%d/%m/%Y").dt.year
    return every(years.value_counts().sort_index())


def _correlation(frame: pd.DataFrame, x: str, y: str) -> list[str]:
    pairs = frame[[x, y]].dropna()
    pearson = float(pairs.corr().to_numpy()[0, 1])
    spearman = float(pairs.rank().corr().to_numpy()[0, 1])
    return [f"Pearson {pearson:.3f}", f"Spearman {spearman:.3f}", f"{len(pairs):,} pairs"]


def _outliers(t: Tables) -> list[str]:
    values = t["readings"]["temperature"]
    low, high = values.quantile(0.25), values.quantile(0.75)
    far = values[(values < low - 1.5 * (high - low)) | (values > high + 1.5 * (high - low))]
    return [f"{len(far)} outliers", "99", "-40"]


def _hours(t: Tables) -> pd.Series:
    trips = t["trips"]
    hours = (trips["arrived_at"] - trips["departed_at"]).dt.total_seconds() / 3600
    return hours.groupby(trips["depot"]).mean()


def _sides(t: Tables) -> list[str]:
    rates = _joined(t).groupby("late")["returned"].mean()
    return [f"**{share(rates[True])}** where `late` holds", f"**{share(rates[False])}** where not"]


def _late_in_december(t: Tables) -> list[str]:
    trips = t["shipments"]
    trips = trips[trips["shipped_at"].between("2025-12-01", "2025-12-31")]
    late = (trips["delivered_at"] > trips["promised_at"]).sum()
    return [f"**{late:,} of {len(trips):,} shipments"]


def _return_course(t: Tables) -> list[str]:
    data = _joined(t)
    rates = data.groupby(data["ordered_at"].dt.strftime("%Y-%m"))["returned"].mean()
    return every(rates, share)


def _best_days(t: Tables) -> list[str]:
    counts = t["orders"]["ordered_at"].dt.strftime("%Y-%m-%d").value_counts()
    return [f": {counts.iloc[0]}**", *(f"| {n} |" for n in counts.iloc[:10])]


def _nordvik(t: Tables) -> list[str]:
    rate = _joined(t).groupby("region")["returned"].mean()["Nordvik"]
    return [f"**Nordvik: return rate {share(rate)}**", "**The carrier Halden Freight is the likely"]


QUESTIONS: list[tuple[str, str, Expected]] = [
    ("retail", "What was the total revenue in Q3 2025?", _q3),
    ("retail", "How many orders are there?", lambda t: [f": {len(t['orders']):,}**"]),
    ("retail", "How many customers are in Nordvik?", lambda t: [f": {(t['customers']['region'] == 'Nordvik').sum()}**"]),
    ("retail", "How many orders over 200 were placed in 2025?", lambda t: [f": {(t['orders']['total'] > 200).sum()}**"]),
    ("retail", "How many orders were there, leaving out the web?", lambda t: [f": {(t['orders']['channel'] != 'web').sum():,}**"]),
    ("retail", "How many orders are there, web orders excluded?", lambda t: [f": {(t['orders']['channel'] != 'web').sum():,}**"]),
    ("retail", "How many orders are there, store orders not included?", lambda t: [f": {(t['orders']['channel'] != 'store').sum():,}**"]),
    ("retail", "Average order value by region, ignoring app orders", lambda t: every(_joined(t)[_joined(t)["channel"] != "app"].groupby("region")["total"].mean())),
    ("retail", "Revenue by channel", lambda t: every(t["orders"].groupby("channel")["total"].sum().round(2))),
    ("retail", "What is the average order value by channel?", lambda t: every(t["orders"].groupby("channel")["total"].mean())),
    ("retail", "Which customer has spent the most?", lambda t: top(_joined(t).groupby("name")["total"].sum().round(2))),
    ("retail", "top 5 customers by revenue", lambda t: top(_joined(t).groupby("name")["total"].sum().round(2))),
    ("retail", "Which carrier is late most often?", lambda t: top(_joined(t).groupby("carrier")["late"].mean(), share)),
    ("retail", "Return rate by channel", lambda t: every(_joined(t).groupby("channel")["returned"].mean(), share)),
    ("retail", "What share of orders were returned?", lambda t: [f"**Return rate: {share(_joined(t)['returned'].mean())}**"]),
    ("retail", "What are the most common reasons for refunds?", lambda t: [*top(t["refunds"]["reason"].value_counts()), *every(t["refunds"]["reason"].value_counts())]),
    ("retail", "total refund amount by region", lambda t: every(t["refunds"].merge(_joined(t), on="order_id").groupby("region")["amount"].sum().round(2))),
    ("retail", "Which month had the most orders?", _retail_month),
    ("retail", "Average number of orders per customer", lambda t: [f": {shown(t['orders'].groupby('customer_id').size().mean())}**"]),
    ("retail", "Does late delivery affect returns?", _sides),
    ("retail", "How many orders have no refund?", lambda t: [f"{(~_joined(t)['returned']).sum():,} of {len(t['orders']):,} orders"]),
    ("retail", "What share of revenue comes from Nordvik?", lambda t: [share(_joined(t).groupby("region")["total"].sum()["Nordvik"] / t["orders"]["total"].sum())]),
    ("retail", "Compare revenue of Nordvik and Vestra", lambda t: every(_joined(t).groupby("region")["total"].sum().round(2)[["Nordvik", "Vestra"]])),
    ("retail", "How many shipments were late in December 2025?", _late_in_december),
    ("retail", "How has the return rate developed over the year?", _return_course),
    ("retail", "Top 10 days by orders", _best_days),
    ("retail", "Why does Nordvik return so much?", _nordvik),
    ("shop_lines", "revenue by category", lambda t: every(_lines(t).groupby("category")["revenue"].sum().round(2))),
    ("shop_lines", "Which product category brings the most revenue?", lambda t: top(_lines(t).groupby("category")["revenue"].sum().round(2))),
    ("shop_lines", "top 3 products by quantity sold", lambda t: top(_lines(t).groupby("name")["quantity"].sum())),
    ("shop_lines", "What was revenue in 2024 vs 2025?", lambda t: every(_lines(t).groupby(_lines(t)["ordered_at"].dt.year)["revenue"].sum().round(2))),
    ("shop_lines", "average revenue per order", lambda t: [f": {shown(_lines(t).groupby('order_id')['revenue'].sum().mean())}**"]),
    ("shop_lines", "how many products are in each category", lambda t: every(t["products"]["category"].value_counts())),
    ("hr", "What is the average salary by department?", lambda t: every(_staff(t).groupby("department")["salary"].mean())),
    ("hr", "Which department has the highest attrition rate?", lambda t: top((_staff(t)["left"] == "yes").groupby(_staff(t)["department"]).mean(), share)),
    ("hr", "How many people left?", lambda t: [f": {(t['employees']['left'] == 'yes').sum()}**"]),
    ("hr", "What is the median age of employees in Engineering?", lambda t: [f": {shown(_of(_staff(t), 'department', 'Engineering')['age'].median())}**"]),
    ("hr", "Compare the salary of men and women", lambda t: every(t["employees"].groupby("gender")["salary"].mean())),
    ("hr", "How many employees were hired per year?", _hired),
    ("hr", "Is there a correlation between age and salary?", lambda t: _correlation(t["employees"], "age", "salary")),
    ("hr", "What is missing in the data?", lambda t: [f"employees.age: {t['employees']['age'].isna().sum()} of 800"]),
    ("hr", "What share of employees are female?", lambda t: [share((t["employees"]["gender"] == "female").mean())]),
    ("hr", "employees older than 60", lambda t: [f": {(t['employees']['age'] > 60).sum()}**"]),
    ("hr", "highest salary in Sales", lambda t: [f": {_of(_staff(t), 'department', 'Sales')['salary'].max():,}**"]),
    ("hr", "distribution of salary", lambda t: [f"median {shown(t['employees']['salary'].median())}", f"standard deviation {t['employees']['salary'].std():,.2f}"]),
    ("hr", "How many employees are in each site?", lambda t: every(_staff(t)["site"].value_counts())),
    ("sensors", "What is the average temperature by sensor?", lambda t: every(t["readings"].groupby("sensor")["temperature"].mean())),
    ("sensors", "Is there a relationship between temperature and humidity?", lambda t: _correlation(t["readings"], "temperature", "humidity")),
    ("sensors", "outliers in temperature", _outliers),
    ("sensors", "What was the maximum temperature in February 2025?", lambda t: [": 99**", "2025-02-07 12:00:00"]),
    ("sensors", "How many humidity readings are missing?", lambda t: [f"readings.humidity: {t['readings']['humidity'].isna().sum()} of 6,480"]),
    ("finance", "total Betrag by Kategorie", lambda t: every(t["buchungen"].groupby("Kategorie")["Betrag"].sum().round(2))),
    ("finance", "What is the average Betrag?", lambda t: [f": {shown(t['buchungen']['Betrag'].mean())}**"]),
    ("finance", "How much did Löhne cost in total?", lambda t: [f": {shown(round(_of(t['buchungen'], 'Kategorie', 'Löhne')['Betrag'].sum(), 2))}**"]),
    ("logistics", "total fuel cost by depot", lambda t: every(t["trips"].groupby("depot")["fuel_cost"].sum().round(2))),
    ("logistics", "average trip duration by depot", lambda t: every(_hours(t), lambda v: f"{v:,.2f} hours")),
    ("logistics", "Which driver drove the longest distance?", lambda t: top(t["trips"].groupby("driver")["distance_km"].sum().round(1))),
    ("logistics", "Does fuel cost depend on distance?", lambda t: _correlation(t["trips"], "distance_km", "fuel_cost")),
    ("web", "conversion rate by device", lambda t: every(t["sessions"].groupby("device")["converted"].mean(), share)),
    ("web", "Which campaign converts best?", lambda t: top(t["sessions"].merge(t["campaigns"]).groupby("campaign")["converted"].mean(), share)),
    ("web", "How many sessions came from mobile?", lambda t: [f": {(t['sessions']['device'] == 'mobile').sum():,}**"]),
    ("web", "average page views per session", lambda t: [f": {shown(t['sessions']['pageViews'].mean())}**"]),
]  # fmt: skip


def run(
    companies: dict[str, tuple[Path, Tables]], company: str, question: str, tmp_path: Path
) -> tuple[Run, Path]:
    """One question in a workspace of its own."""
    workspace = tmp_path / "workspace"
    shutil.copytree(companies[company][0], workspace)
    return ask(question, workspace), workspace


def plain(answer: str) -> str:
    return answer.replace("\\", "")


@pytest.mark.req("C4")
@pytest.mark.parametrize(
    ("company", "question", "expected"), QUESTIONS, ids=[f"{c}: {q}" for c, q, _ in QUESTIONS]
)
def test_answer_of_question(companies, company, question, expected, tmp_path):
    found, workspace = run(companies, company, question, tmp_path)
    assert not found.failed, found.failed[-1]
    for text in expected(companies[company][1]):
        assert text in plain(found.answer)
    assert "rule-based" in found.answer
    assert "I read this as" not in found.answer
    for name in re.findall(r"!\[.*?\]\((.*?)\)", found.answer):
        assert (workspace / name).stat().st_size > 1000


@pytest.mark.req("C4")
def test_blame_of_the_late_carrier_is_in_the_data(companies, tmp_path):
    question = "Which region returns the most, and is a carrier to blame?"
    found, _ = run(companies, "retail", question, tmp_path)
    data = _joined(companies["retail"][1])
    by_region = data.groupby("region")["returned"].mean()
    late = data.groupby("carrier")["late"].mean()
    worst, carrier = by_region.idxmax(), late.idxmax()
    others = data[data["carrier"] != carrier]["late"].mean()
    inside = (data[data["region"] == worst]["carrier"] == carrier).mean()
    by_late = data.groupby("late")["returned"].mean()
    answer = plain(found.answer)
    assert (
        f"**{worst} has the highest return rate: {share(by_region.max())}**, against {share(data['returned'].mean())}"
        in answer
    )
    assert f"**The carrier {carrier} is the likely reason.**" in answer
    assert f"{carrier} has {share(inside)} of {worst}'s rows" in answer
    assert f"{share(late.max())} of what it handles is late, against {share(others)}" in answer
    assert f"**{share(by_late[True])}**" in answer
    assert f"**{share(by_late[False])}**" in answer
    assert len(found.programs) == 3


def test_blame_without_a_culprit_accuses_nobody(companies, tmp_path):
    """The carriers are dealt out anew, so that none has anything to do with a region or a return."""
    workspace = tmp_path / "workspace"
    shutil.copytree(companies["retail"][0], workspace)
    for path in (workspace / "shipments").iterdir():
        part = pd.read_parquet(path)
        part["carrier"] = part["carrier"].sample(frac=1, random_state=5).to_numpy()
        part.to_parquet(path)
    found = ask("Which region returns the most, and is a carrier to blame?", workspace)
    assert "**Nordvik has the highest return rate" in found.answer
    assert "is the likely reason" not in found.answer


def test_overview_has_sizes_figures_groups_and_course(companies, tmp_path):
    found, workspace = run(companies, "retail", "Analyse this data", tmp_path)
    orders = companies["retail"][1]["orders"]
    answer = plain(found.answer)
    assert "4 tables" in answer
    assert "| orders | 4,000 |" in answer
    assert shown(round(orders["total"].sum(), 2)) in answer
    assert "Over time" in answer
    assert "Missing" in answer
    assert list(workspace.glob("overview*.png"))


def test_follow_up_leans_on_the_question_before(companies, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(companies["retail"][0], workspace)
    first = ask("What was the total revenue?", workspace)
    for left in [*workspace.glob("*.png"), *workspace.glob("*.csv")]:
        left.unlink()
    second = ask("And by channel?", workspace, history=first.messages)
    orders = companies["retail"][1]["orders"]
    for text in every(orders.groupby("channel")["total"].sum().round(2)):
        assert text in second.answer


def test_question_about_nothing_there_offers_others(companies, tmp_path):
    found, _ = run(companies, "hr", "Tell me a joke", tmp_path)
    assert "could not tell what to compute" in found.answer
    assert "employees" in found.answer
    offered = re.findall(r"^- (.+\?)$", plain(found.answer), re.MULTILINE)
    assert len(offered) >= 2
    for number, question in enumerate(offered):
        again, _ = run(companies, "hr", question, tmp_path / str(number))
        assert "could not tell" not in again.answer


def test_same_question_gives_the_same_answer(companies, tmp_path):
    first, _ = run(companies, "hr", "average salary by gender", tmp_path / "a")
    second, _ = run(companies, "hr", "average salary by gender", tmp_path / "b")
    assert first.messages == second.messages
    assert isinstance(first.messages[0], Message)
