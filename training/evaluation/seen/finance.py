"""A bank: its accounts, what was booked on them in two years, and exchange rates by month."""

from typing import Any

import numpy as np
import pandas as pd

from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Words

_ACCOUNTS, _USED, _BOOKINGS, _TWICE = 1200, 1120, 17_500, 37
_ACCOUNTS_TABLE = f"{DATABASE}:finance.accounts"
_TRANSACTIONS_TABLE = f"{DATABASE}:finance.transactions"
_RATES_FILE = "finance/rates/eur_monthly.csv"

_FIRST = ("Ana", "Bruno", "Chiara", "David", "Elif", "Femke", "Goran", "Hanna", "Ines", "Jonas")
_LAST = ("Almeida", "Berger", "Costa", "Dubois", "Eriksen", "Ferrari", "Gruber", "Horvat", "Ilic")
# how large a segment's bookings are, against Retail
_SEGMENTS = {"Retail": 1.0, "Business": 3.2, "Private": 2.1, "Student": 0.4}
_BRANCHES = ("Lisbon", "Munich", "Lyon", "Turin", "Vienna", "Ghent")
# typical amounts in EUR: above zero comes in, below goes out
_CATEGORIES = {
    "Salary": 2100.0,
    "Refund": 60.0,
    "Groceries": -55.0,
    "Rent": -780.0,
    "Travel": -240.0,
    "Utilities": -95.0,
    "Dining": -38.0,
    "Fees": -9.0,
}
_CURRENCIES = ("EUR", "USD", "CHF", "PLN")
_FAILING = {"card": 0.031, "online": 0.045, "branch": 0.018, "atm": 0.068}
_RATES = {
    "EUR": 1.0, "USD": 0.93, "GBP": 1.16, "CHF": 1.01, "SEK": 0.092, "PLN": 0.217, "DKK": 0.134,
    "NOK": 0.094,
}  # fmt: skip


def domain() -> Domain:
    rng = np.random.default_rng(4207)
    accounts = _accounts(rng)
    transactions = _transactions(rng, accounts)
    rates = _rates(rng)
    return Domain(
        name="finance",
        files={_RATES_FILE: rates.to_csv(index=False, lineterminator="\n").encode()},
        tables={"accounts": accounts, "transactions": transactions},
        questions=(
            _failed_channel(transactions),
            _travel_month(transactions),
            _entered_twice(transactions),
            _never_used(accounts, transactions),
            _incoming_by_segment(accounts, transactions),
            _net_change(transactions),
            _received_in_eur(transactions, rates),
            Question(
                id="finance-credit-rating",
                text="Which customers have the worst credit rating?",
                data=(_ACCOUNTS_TABLE, _TRANSACTIONS_TABLE),
                expects=(),
                refuses=True,
            ),
        ),
    )


# The data


def _accounts(rng: np.random.Generator) -> pd.DataFrame:
    first, last = rng.choice(_FIRST, _ACCOUNTS), rng.choice(_LAST, _ACCOUNTS)
    frame = pd.DataFrame(
        {
            "account_no": [f"AC{100_000 + 7 * at}" for at in range(_ACCOUNTS)],
            "holder": [f"{one} {other}" for one, other in zip(first, last, strict=True)],
            "segment": rng.choice(list(_SEGMENTS), _ACCOUNTS, p=[0.55, 0.15, 0.1, 0.2]),
            "opened_on": _days(rng, "2010-01-01", "2021-12-31", _ACCOUNTS),
            "branch": rng.choice(_BRANCHES, _ACCOUNTS).astype(object),
        }
    )
    frame.loc[rng.random(_ACCOUNTS) < 0.02, "branch"] = None
    return frame


def _transactions(rng: np.random.Generator, accounts: pd.DataFrame) -> pd.DataFrame:
    used = accounts.sample(_USED, random_state=rng)
    # each is used once at least
    at = np.concatenate([np.arange(_USED), rng.integers(0, _USED, _BOOKINGS - _USED)])
    booked_on = _days(rng, "2022-01-01", "2023-12-31", _BOOKINGS)
    category = _categories(rng, booked_on)
    size = used["segment"].map(_SEGMENTS).to_numpy()[at] * rng.lognormal(0, 0.45, _BOOKINGS)
    pay_rise = np.where((category == "Salary") & (booked_on.year == 2023), 1.09, 1.0)
    channel = rng.choice(list(_FAILING), _BOOKINGS, p=[0.4, 0.33, 0.1, 0.17])
    frame = pd.DataFrame(
        {
            "account_no": used["account_no"].to_numpy()[at],
            "booked_on": booked_on,
            "amount": np.round(size * pay_rise * pd.Series(category).map(_CATEGORIES), 2),
            "currency": rng.choice(_CURRENCIES, _BOOKINGS, p=[0.7, 0.12, 0.08, 0.1]),
            "category": category,
            "channel": channel,
            "status": _statuses(rng, channel),
        }
    ).sort_values("booked_on", kind="stable", ignore_index=True)
    frame.insert(0, "txn_id", np.arange(500_001, 500_001 + _BOOKINGS))
    frame.loc[(frame["category"] == "Dining") & (frame["txn_id"] % 9 == 0), "category"] = None
    # twice: where no other answer depends on it
    twice = frame.query("status == 'pending' and currency == 'USD' and category == 'Groceries'")
    return pd.concat([frame, twice.head(_TWICE)], ignore_index=True)


def _categories(rng: np.random.Generator, booked_on: pd.DatetimeIndex) -> "np.ndarray[Any, Any]":
    drawn = rng.choice(
        list(_CATEGORIES), len(booked_on), p=[0.16, 0.05, 0.27, 0.14, 0.06, 0.1, 0.16, 0.06]
    )
    holidays = np.isin(booked_on.month, (7, 8)) & (rng.random(len(booked_on)) < 0.05)
    summer = (booked_on.strftime("%Y-%m") == "2023-08") & (rng.random(len(booked_on)) < 0.07)
    return np.where(holidays | summer, "Travel", drawn)


def _statuses(rng: np.random.Generator, channel: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    drawn = rng.random(len(channel))
    failing = pd.Series(channel).map(_FAILING).to_numpy()
    return np.select([drawn < failing, drawn > 0.9], ["failed", "pending"], "booked")


def _rates(rng: np.random.Generator) -> pd.DataFrame:
    months = pd.period_range("2020-01", "2023-12", freq="M").astype(str)
    moves = {
        currency: base * (1 if currency == "EUR" else rng.normal(1, 0.03, len(months)))
        for currency, base in _RATES.items()
    }
    frame = pd.DataFrame(moves, index=pd.Index(months, name="Month")).reset_index()
    long = frame.melt("Month", var_name="Currency", value_name="EUR per unit").round(4)
    return long.sort_values(["Month", "Currency"], ignore_index=True)


def _days(rng: np.random.Generator, first: str, last: str, size: int) -> pd.DatetimeIndex:
    days = pd.date_range(first, last)
    return pd.DatetimeIndex(days[rng.integers(0, len(days), size)])


# The questions


def _failed_channel(transactions: pd.DataFrame) -> Question:
    failed = transactions["status"].eq("failed").groupby(transactions["channel"]).mean()
    return Question(
        id="finance-failed-channel",
        text="Which channel has the highest share of failed transactions, and what is that share?",
        data=(_TRANSACTIONS_TABLE,),
        expects=(
            Words((str(failed.idxmax()),)),
            Number(float(failed.max() * 100), percent=True, absolute=0.1, relative=0.0),
        ),
    )


def _travel_month(transactions: pd.DataFrame) -> Question:
    travel = transactions.query("category == 'Travel' and booked_on >= '2023-01-01'")
    months = travel["booked_on"].dt.to_period("M").value_counts()
    best = months.idxmax()
    return Question(
        id="finance-travel-month",
        text="In which month of 2023 were there the most travel transactions, and how many?",
        data=(_TRANSACTIONS_TABLE,),
        expects=(
            Words((best.strftime("%B"), best.strftime("%b %Y"), str(best))),
            Number(int(months.max()), relative=0.0),
        ),
    )


def _entered_twice(transactions: pd.DataFrame) -> Question:
    times = transactions["txn_id"].value_counts()
    return Question(
        id="finance-entered-twice",
        text="Some transactions seem to be in there twice. How many txn_ids occur more than once?",
        data=(_TRANSACTIONS_TABLE,),
        expects=(Number(int((times > 1).sum()), relative=0.0),),
    )


def _never_used(accounts: pd.DataFrame, transactions: pd.DataFrame) -> Question:
    unused = ~accounts["account_no"].isin(transactions["account_no"])
    return Question(
        id="finance-never-used",
        text="How many accounts have no transaction at all?",
        data=(_ACCOUNTS_TABLE, _TRANSACTIONS_TABLE),
        expects=(Number(int(unused.sum()), relative=0.0),),
    )


def _incoming_by_segment(accounts: pd.DataFrame, transactions: pd.DataFrame) -> Question:
    incoming = transactions.query("amount > 0 and currency == 'EUR'").merge(accounts)
    medians = incoming.groupby("segment")["amount"].median()
    return Question(
        id="finance-incoming-by-segment",
        text="What is the median incoming payment (amount above zero, EUR only, any status) of "
        "Business accounts compared with Student accounts?",
        data=(_ACCOUNTS_TABLE, _TRANSACTIONS_TABLE),
        expects=(Number(float(medians["Business"])), Number(float(medians["Student"]))),
    )


def _net_change(transactions: pd.DataFrame) -> Question:
    booked = transactions.query("status == 'booked' and currency == 'EUR'")
    net = booked.groupby(booked["booked_on"].dt.year)["amount"].sum()
    change = float(net[2023] / net[2022] - 1) * 100
    return Question(
        id="finance-net-change",
        text="Taking only booked transactions in EUR: by how many percent did the net amount, "
        "money in less money out, change from 2022 to 2023?",
        data=(_TRANSACTIONS_TABLE,),
        expects=(Number(change, percent=True, absolute=0.1, relative=0.0),),
    )


def _received_in_eur(transactions: pd.DataFrame, rates: pd.DataFrame) -> Question:
    received = transactions.query(
        "status == 'booked' and amount > 0 and booked_on >= '2023-01-01'"
    ).assign(Month=lambda each: each["booked_on"].dt.strftime("%Y-%m"))
    converted = received.merge(rates, left_on=["Month", "currency"], right_on=["Month", "Currency"])
    assert len(converted) == len(received)
    return Question(
        id="finance-received-in-eur",
        text="How much money came in during 2023 in total, in euros? Count booked transactions "
        "with a positive amount and convert each with the rate of its month.",
        data=(_TRANSACTIONS_TABLE, f"{LAKE}:{_RATES_FILE}"),
        expects=(Number(float((converted["amount"] * converted["EUR per unit"]).sum())),),
    )
