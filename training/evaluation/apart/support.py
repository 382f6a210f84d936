"""Support tickets as JSON lines, a file a year, and the agents in PostgreSQL."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import count, leader, leaders, month, percent
from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Words

_ROWS, _CUSTOMERS = 7_200, 900
# how satisfied the customers of a team are, before rounding
_TEAMS = {"Onboarding": 3.9, "Billing": 3.55, "Technical": 3.7, "Key Accounts": 4.5}
_AGENTS = """
Amara Okafor, Bruno Keller, Chloe Martin, Dmitri Volkov, Elif Demir, Farid Rahimi, Greta Lund,
Hiro Tanaka, Ines Duarte, Jonas Weber, Katya Novak, Liam Byrne, Maja Kowalska, Noor Haddad,
Oskar Nilsen, Priya Nair, Quentin Roux, Rosa Marin, Sven Aalto, Tess Morgan
"""
# how many tickets they take, relative to the others
_BUSY = {"Greta Lund": 2.4, "Priya Nair": 2.0, "Dmitri Volkov": 1.65}
_PRIORITIES = {"low": 0.33, "normal": 0.44, "high": 0.16, "urgent": 0.07}
# people have written it both ways
_CHANNELS = {"email": 0.4, "chat": 0.17, "Chat": 0.11, "phone": 0.2, "web form": 0.12}
_PLANS = {"free": 0.42, "team": 0.38, "enterprise": 0.2}
_BUSIEST = pd.Timestamp("2025-09-01")
_FILES = f"{LAKE}:support/tickets-*.jsonl"
_TABLE = f"{DATABASE}:support.agents"


def domain() -> Domain:
    rng = np.random.default_rng(4505)
    agents = _agents(rng)
    tickets = _tickets(agents, rng)
    files = {
        f"support/tickets-{year}.jsonl": formats.json_lines(map(_written, _dicts(rows)))
        for year, rows in tickets.groupby(tickets["openedAt"].dt.year)
    }
    questions = (
        *_of_tickets(tickets),
        *_of_customers(tickets),
        *_of_both(tickets, agents),
        _unanswerable(),
    )
    return Domain("support", files, {"agents": agents}, questions)


def _agents(rng: np.random.Generator) -> pd.DataFrame:
    names = [" ".join(name.split()) for name in _AGENTS.split(",")]
    hired = pd.Timestamp("2019-02-01") + pd.to_timedelta(rng.integers(0, 1_700, len(names)), "D")
    return pd.DataFrame(
        {
            "agent_id": np.arange(301, 301 + len(names)),
            "full_name": names,
            "team": [list(_TEAMS)[number % len(_TEAMS)] for number in range(len(names))],
            "office": rng.choice(["Lisbon", "Krakow", "Dublin"], len(names)),
            "hired_on": hired,
        }
    )


def _tickets(agents: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    opened = _times(rng)
    busy = agents["full_name"].map(_BUSY).fillna(1.0)
    agent = rng.choice(agents["agent_id"], _ROWS, p=busy / busy.sum())
    table = pd.DataFrame(
        {
            "ticketId": np.arange(880_001, 880_001 + _ROWS),
            "openedAt": opened,
            "closedAt": opened + pd.to_timedelta(rng.integers(40, 12_000, _ROWS), unit="min"),
            "firstReplyMinutes": np.clip(rng.lognormal(4.05, 0.95, _ROWS), 1, None).round(),
            "agentId": pd.Series(agent).mask(rng.random(_ROWS) < 0.03),
            "reopened": rng.random(_ROWS) < 0.08,
            "customerId": rng.integers(1, _CUSTOMERS + 1, _ROWS),
        }
    )
    for column, shares in (("priority", _PRIORITIES), ("channel", _CHANNELS), ("plan", _PLANS)):
        table[column] = rng.choice(list(shares), _ROWS, p=list(shares.values()))
    table["csat"] = _satisfaction(table["agentId"], agents, rng)
    still_open = rng.random(_ROWS) < np.where(opened > pd.Timestamp("2025-12-10"), 0.5, 0.03)
    return _with_doubled(table.assign(closedAt=table["closedAt"].mask(still_open)), rng)


def _times(rng: np.random.Generator) -> "pd.Series[pd.Timestamp]":
    """When tickets were opened, in UTC; one month has many more."""
    days = pd.date_range("2024-01-01", "2025-12-31", freq="D")
    weights = np.where(days.year == 2025, 1.15, 1.0)
    weights[days.to_period("M") == _BUSIEST.to_period("M")] *= 1.6
    drawn = np.sort(rng.choice(len(days), _ROWS, p=weights / weights.sum()))
    minutes = np.clip(rng.normal(13 * 60, 180, _ROWS), 60, 23 * 60).astype(int)
    return pd.Series(days[drawn] + pd.to_timedelta(minutes, unit="min"))


def _satisfaction(
    agent: "pd.Series[float]", agents: pd.DataFrame, rng: np.random.Generator
) -> "pd.Series[float]":
    """1 to 5, where the customer gave one."""
    team = agent.map(agents.set_index("agent_id")["team"])
    score = team.map(_TEAMS).fillna(3.7) + rng.normal(0, 0.9, _ROWS)
    return score.clip(1, 5).round().mask(rng.random(_ROWS) < 0.45)


def _with_doubled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A few lines of 2024 that were written twice."""
    early = table[(table["openedAt"].dt.year == 2024) & table["closedAt"].notna()]
    doubled = early.sample(4, random_state=rng)
    both: pd.DataFrame = pd.concat([table, doubled])
    return both.sort_values("ticketId", kind="stable", ignore_index=True)


def _dicts(rows: pd.DataFrame) -> list[dict[str, object]]:
    filled = rows.astype(object).where(rows.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in filled.to_dict("records")]


def _written(row: dict[str, object]) -> dict[str, object]:
    """A ticket as the desk exports it: whole numbers, times in UTC, the customer within."""
    written = {name: _plain(value) for name, value in row.items()}
    customer = {"id": f"C{written.pop('customerId'):05d}", "plan": written.pop("plan")}
    return written | {"customer": customer}


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return int(value) if isinstance(value, float) else value


def _of_tickets(tickets: pd.DataFrame) -> tuple[Question, ...]:
    in_2025 = tickets[tickets["openedAt"].dt.year == 2025]
    months = in_2025["openedAt"].dt.to_period("M").value_counts()
    busiest = pd.Period(leader(months), "M")
    reply = tickets["firstReplyMinutes"]
    return (
        Question(
            "support-open",
            "How many tickets are still open, i.e. have never been closed?",
            (_FILES,),
            (count(int(tickets["closedAt"].isna().sum())),),
        ),
        Question(
            "support-busiest",
            "What was our busiest month in 2025 by tickets opened, and how many were there?",
            (_FILES,),
            (month(busiest), count(int(months[busiest]))),
        ),
        Question(
            "support-reply",
            "how long do customers wait for a first reply? median and 90th percentile in minutes",
            (_FILES,),
            (Number(float(reply.median())), Number(float(reply.quantile(0.9)))),
        ),
        Question(
            "support-chat",
            "What share of all tickets comes in through chat?",
            (_FILES,),
            (percent(float((tickets["channel"].str.casefold() == "chat").mean())),),
        ),
    )


def _of_customers(tickets: pd.DataFrame) -> tuple[Question, ...]:
    urgent = (tickets["priority"] == "urgent") & (tickets["openedAt"].dt.year == 2025)
    return (
        Question(
            "support-urgent",
            "How many different customers opened an urgent ticket in 2025?",
            (_FILES,),
            (count(tickets.loc[urgent, "customerId"].nunique()),),
        ),
    )


def _of_both(tickets: pd.DataFrame, agents: pd.DataFrame) -> tuple[Question, ...]:
    both = tickets.merge(agents, left_on="agentId", right_on="agent_id", validate="many_to_one")
    satisfaction = both.groupby("team")["csat"].mean()
    best = leader(satisfaction)
    in_2025 = both[both["openedAt"].dt.year == 2025]
    return (
        Question(
            "support-teams",
            "Which team gets the best CSAT on average? Name the team and its score.",
            (_FILES, _TABLE),
            (Words((best,)), Number(float(satisfaction[best]), absolute=0.03)),
        ),
        Question(
            "support-agents",
            "Who are the three agents with the most tickets opened in 2025? Full names, please.",
            (_FILES, _TABLE),
            tuple(Words((name,)) for name in leaders(in_2025["full_name"].value_counts(), 3)),
        ),
    )


def _unanswerable() -> Question:
    return Question(
        "support-revenue",
        "How much revenue did we lose from customers who cancelled after a bad ticket?",
        (_FILES, _TABLE),
        (),
        refuses=True,
    )
