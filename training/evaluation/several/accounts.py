"""What users did, as JSON lines a month with events in UTC; who they are, their plans and their
changes of plan in PostgreSQL."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import count, leader, leaders, month, percent
from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Table, Words

_ACCOUNTS, _EVENTS = 420, 11_000
_PLANS = {"Free": 0.5, "Team": 0.32, "Business": 0.18}
# how many exports someone of a plan makes, relative to other events
_EXPORTS = {"Free": 0.05, "Team": 0.11, "Business": 0.22}
_KINDS = ("login", "view", "edit", "share")
_INDUSTRIES = {"Retail": 0.34, "Health": 0.2, "Education": 0.26, "Energy": 0.2}
_KEEN = {"Retail": 1.0, "Health": 1.5, "Education": 0.7, "Energy": 1.15}
_EVENTS_FILES = f"{LAKE}:accounts/events-*.jsonl"
_ACCOUNTS_TABLE = f"{DATABASE}:accounts.accounts"
_CHANGES_TABLE = f"{DATABASE}:accounts.plan_changes"
_NOTE = " Events name the user by e-mail, with whatever letters they typed; accounts have it small."


def domain() -> Domain:
    rng = np.random.default_rng(55_221)
    accounts = _accounts(rng)
    changes = _changes(rng, accounts)
    events = _events(rng, accounts)
    files = {
        f"accounts/events-{period}.jsonl": formats.json_lines(map(_written, rows.itertuples()))
        for period, rows in events.groupby(events["at"].dt.strftime("%Y-%m"))
    }
    joined = events.merge(accounts, on="account_id")
    return Domain(
        name="accounts",
        files=files,
        tables={"accounts": accounts, "plan_changes": changes},
        questions=(
            *_enriched(joined, accounts),
            *_over_time(joined, changes),
            Question(
                "accounts-price",
                "What does the average Business customer pay us a month?",
                (_EVENTS_FILES, _ACCOUNTS_TABLE),
                (),
                refuses=True,
            ),
        ),
    )


# The data


def _accounts(rng: np.random.Generator) -> pd.DataFrame:
    signed_up = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 900, _ACCOUNTS), "D")
    return pd.DataFrame(
        {
            "account_id": np.arange(5001, 5001 + _ACCOUNTS),
            "email": [f"user{each}@example.com" for each in range(1, _ACCOUNTS + 1)],
            "plan": rng.choice(list(_PLANS), _ACCOUNTS, p=list(_PLANS.values())),
            "industry": rng.choice(list(_INDUSTRIES), _ACCOUNTS, p=list(_INDUSTRIES.values())),
            "signed_up_on": signed_up,
        }
    )


def _changes(rng: np.random.Generator, accounts: pd.DataFrame) -> pd.DataFrame:
    """Each once, in autumn: who is on Free came down from Team, the others left Free."""
    some = accounts.sample(90, random_state=rng).sort_values("account_id")
    changed = pd.Timestamp("2025-10-01") + pd.to_timedelta(rng.integers(0, 60, len(some)), "D")
    return pd.DataFrame(
        {
            "account_id": some["account_id"].to_numpy(),
            "changed_on": changed,
            "from_plan": np.where(some["plan"] == "Free", "Team", "Free"),
            "to_plan": some["plan"].to_numpy(),
        }
    )


def _events(rng: np.random.Generator, accounts: pd.DataFrame) -> pd.DataFrame:
    keen = rng.lognormal(0, 0.9, _ACCOUNTS) * accounts["industry"].map(_KEEN)
    keen[rng.random(_ACCOUNTS) < 0.15] = 0
    at = rng.choice(_ACCOUNTS, _EVENTS, p=keen / keen.sum())
    who = accounts.iloc[at]
    months = np.array([9, 10, 12, 11, 17, 13])
    number = rng.choice(np.arange(7, 13), _EVENTS, p=months / months.sum())
    base = pd.to_datetime({"year": 2025, "month": number, "day": rng.integers(1, 29, _EVENTS)})
    seconds = rng.integers(6 * 3600, 22 * 3600, _EVENTS)
    exports = rng.random(_EVENTS) < who["plan"].map(_EXPORTS).to_numpy()
    frame = pd.DataFrame(
        {
            "at": base + pd.to_timedelta(seconds, unit="s"),
            "account_id": who["account_id"].to_numpy(),
            "typed": np.where(
                rng.random(_EVENTS) < 0.3, who["email"].str.upper(), who["email"].str.lower()
            ),
            "kind": np.where(exports, "export", rng.choice(_KINDS, _EVENTS)),
            "ms": np.ceil(rng.lognormal(5.2, 0.6, _EVENTS)).astype(int),
        }
    )
    return frame.sort_values(["at", "account_id"], ignore_index=True)


def _written(row: "tuple[object, ...]") -> dict[str, object]:
    _, at, _, typed, kind, ms = row
    assert isinstance(at, pd.Timestamp) and isinstance(ms, int)
    user = {"email": typed}
    return {"at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "user": user, "kind": kind, "ms": ms}


# The questions


def _enriched(joined: pd.DataFrame, accounts: pd.DataFrame) -> tuple[Question, ...]:
    exports = joined[joined["kind"] == "export"]
    by_plan = joined.groupby("plan").agg(accounts=("account_id", "nunique"), events=("at", "size"))
    shares = exports.groupby("plan").size() / joined.groupby("plan").size()
    quiet = accounts[~accounts["account_id"].isin(joined["account_id"])]
    active = joined.groupby("industry")["account_id"].nunique()
    each = joined.groupby("industry").size() / active
    data = (_EVENTS_FILES, _ACCOUNTS_TABLE)
    return (
        Question(
            "accounts-quiet",
            "How many accounts caused no event at all?" + _NOTE,
            data,
            (count(len(quiet)),),
        ),
        Question(
            "accounts-exports",
            "On which plan is the share of exports among all events highest, and what percentage "
            "is it?" + _NOTE,
            data,
            (Words((leader(shares),)), percent(float(shares.max()))),
        ),
        Question(
            "accounts-plans",
            "Give me a table with a row for each plan: how many accounts were active, and how many "
            "events they caused." + _NOTE,
            data,
            (
                Table(
                    ("plan", "active_accounts", "events"),
                    tuple(
                        (str(name), int(row["accounts"]), int(row["events"]))
                        for name, row in by_plan.iterrows()
                    ),
                    relative=0.0,
                ),
            ),
        ),
        Question(
            "accounts-industry",
            "In which industry do active accounts cause the most events each, on average, and how "
            "many is that?" + _NOTE,
            data,
            (Words((leader(each),)), Number(float(each.max()))),
        ),
    )


def _over_time(joined: pd.DataFrame, changes: pd.DataFrame) -> tuple[Question, ...]:
    business = joined[joined["plan"] == "Business"]
    months = business["at"].dt.to_period("M").value_counts()
    busiest = pd.Period(leader(months), "M")
    top = joined["email"].value_counts()
    moved = joined.merge(changes, on="account_id")
    up = changes[changes["from_plan"] == "Free"]
    later = moved[(moved["at"] >= moved["changed_on"]) & (moved["from_plan"] == "Free")]
    used = later.loc[later["kind"] == "export", "account_id"].nunique()
    data = (_EVENTS_FILES, _ACCOUNTS_TABLE)
    return (
        Question(
            "accounts-busiest",
            "In which month did accounts of the Business plan (as the table has it now) cause most "
            "events, and how many?" + _NOTE,
            data,
            (month(busiest), count(int(months[busiest]))),
        ),
        Question(
            "accounts-top",
            "Which user caused the most events? Give the e-mail and the number." + _NOTE,
            data,
            (Words((leaders(top)[0],)), count(int(top.iloc[0]))),
        ),
        Question(
            "accounts-upgraded",
            "How many accounts left the Free plan, and how many of these exported something on the "
            "day of the change or later?" + _NOTE,
            (*data, _CHANGES_TABLE),
            (count(len(up)), count(int(used))),
        ),
    )
