"""Invoices in PostgreSQL, and as blobs what the bank booked, a CSV a month, and the rates of
currencies. The two agree but for what the questions are about."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import count, leader, percent
from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Table, Words

_INVOICES, _CUSTOMERS = 2600, 180
# euros for one unit, in January; by how much a month adds
_CURRENCIES = {"EUR": (1.0, 0.0), "GBP": (1.17, 0.004), "PLN": (0.23, 0.001), "SEK": (0.088, 0.0)}
_COUNTRIES = {"Germany": 0.38, "United Kingdom": 0.24, "Poland": 0.23, "Sweden": 0.15}
_OF_COUNTRY = {"Germany": "EUR", "United Kingdom": "GBP", "Poland": "PLN", "Sweden": "SEK"}
# what an amount of that country's currency is multiplied with, so that euros are alike
_SIZE = {"Germany": 1.0, "United Kingdom": 0.75, "Poland": 3.4, "Sweden": 12.5}
_MISSING, _OF_NOBODY, _SHORT, _TWICE = 23, 17, 31, 9
_BANK = f"{LAKE}:settlement/bank-*.csv"
_RATES = f"{LAKE}:settlement/rates.json"
_INVOICES_TABLE = f"{DATABASE}:settlement.invoices"
_CUSTOMERS_TABLE = f"{DATABASE}:settlement.customers"


def domain() -> Domain:
    rng = np.random.default_rng(71_003)
    customers, rates = _customers(rng), _rates()
    invoices = _invoices(rng, customers)
    bank = _bank(rng, invoices)
    files = {
        f"settlement/bank-{month}.csv": formats.csv(rows, delimiter=";")
        for month, rows in bank.groupby(bank["Booking date"].str[:7])
    }
    files["settlement/rates.json"] = formats.json_array(rates)
    return Domain(
        name="settlement",
        files=files,
        tables={"invoices": invoices, "customers": customers},
        questions=(
            *_reconciled(invoices, bank),
            *_converted(invoices, customers, pd.DataFrame(rates)),
            Question(
                "settlement-terms",
                "What payment term, in days, did we agree with our large customers?",
                (_BANK, _CUSTOMERS_TABLE),
                (),
                refuses=True,
            ),
        ),
    )


# The data


def _customers(rng: np.random.Generator) -> pd.DataFrame:
    country = rng.choice(list(_COUNTRIES), _CUSTOMERS, p=list(_COUNTRIES.values()))
    return pd.DataFrame(
        {
            "customer_id": np.arange(1, _CUSTOMERS + 1),
            "company": [f"Company {each:03}" for each in range(1, _CUSTOMERS + 1)],
            "country": country,
            "segment": rng.choice(["small", "mid", "large"], _CUSTOMERS, p=[0.5, 0.35, 0.15]),
        }
    )


def _rates() -> list[dict[str, object]]:
    return [
        {"month": f"2025-{month:02}", "currency": name, "eur": round(first + (month - 1) * step, 4)}
        for month in range(1, 13)
        for name, (first, step) in _CURRENCIES.items()
    ]


def _invoices(rng: np.random.Generator, customers: pd.DataFrame) -> pd.DataFrame:
    buyer = customers.iloc[rng.integers(0, _CUSTOMERS, _INVOICES)]
    size = buyer["country"].map(_SIZE).to_numpy()
    # the autumn sells more
    months = np.array([7, 7, 8, 8, 8, 7, 6, 6, 9, 10, 14, 8])
    month = rng.choice(np.arange(1, 13), _INVOICES, p=months / months.sum())
    day = rng.integers(1, 29, _INVOICES)
    issued = pd.to_datetime({"year": 2025, "month": month, "day": day}).sort_values()
    frame = pd.DataFrame(
        {
            "invoice_no": [f"INV-{each:05}" for each in range(20_001, 20_001 + _INVOICES)],
            "customer_id": buyer["customer_id"].to_numpy(),
            "issued_on": issued.to_numpy(),
            "currency": buyer["country"].map(_OF_COUNTRY).to_numpy(),
            "amount": np.round(rng.lognormal(6.2, 0.7, _INVOICES) * size, 2),
        }
    )
    frame["status"] = rng.choice(["paid", "open", "void"], _INVOICES, p=[0.83, 0.13, 0.04])
    return frame


def _bank(rng: np.random.Generator, invoices: pd.DataFrame) -> pd.DataFrame:
    paid = invoices[invoices["status"] == "paid"]
    left_out = rng.choice(paid.index, _MISSING, replace=False)
    booked = paid[~paid.index.isin(left_out)].copy()
    odd = rng.permutation(booked.index)
    short, twice = odd[:_SHORT], odd[_SHORT : _SHORT + _TWICE]
    booked.loc[short, "amount"] = (booked.loc[short, "amount"] * 0.9).round(2)
    strange = booked.sample(_OF_NOBODY, random_state=rng).assign(
        invoice_no=[f"INV-{each:05}" for each in range(90_001, 90_001 + _OF_NOBODY)]
    )
    rows = pd.concat([booked, booked.loc[twice], strange])
    booked_on = rows["issued_on"] + pd.to_timedelta(rng.integers(1, 24, len(rows)), unit="D")
    # some customers write the number in small letters, and with words around it
    written = np.where(
        rng.random(len(rows)) < 0.2, "payment " + rows["invoice_no"].str.lower(), rows["invoice_no"]
    )
    frame = pd.DataFrame(
        {
            "Booking date": booked_on.dt.strftime("%Y-%m-%d"),
            "Reference": written,
            "Currency": rows["currency"],
            "Amount": rows["amount"],
        }
    )
    frame = frame.sort_values(["Booking date", "Reference"], ignore_index=True)
    frame.insert(0, "Line", np.arange(1, len(frame) + 1))
    return frame


# The questions


def _reconciled(invoices: pd.DataFrame, bank: pd.DataFrame) -> tuple[Question, ...]:
    lines = bank.assign(invoice_no=bank["Reference"].str.upper().str.extract(r"(INV-\d+)")[0])
    paid = invoices[invoices["status"] == "paid"]
    both = lines.merge(paid, on="invoice_no")
    less = both[both["Amount"] < both["amount"]]
    counted = lines["invoice_no"].value_counts()
    never = paid[~paid["invoice_no"].isin(lines["invoice_no"])]
    nobody = lines[~lines["invoice_no"].isin(invoices["invoice_no"])]
    assert (len(never), len(nobody), len(less)) == (_MISSING, _OF_NOBODY, _SHORT)
    note = (
        " The bank's reference holds the invoice's number, at times in small letters and with "
        "words around it."
    )
    data = (_BANK, _INVOICES_TABLE)
    return (
        Question(
            "settlement-never-booked",
            "How many invoices have the status paid, but no line in the bank's export?" + note,
            data,
            (count(len(never)),),
        ),
        Question(
            "settlement-unknown",
            "How many lines of the bank's export pay an invoice that our table doesn't have?"
            + note,
            data,
            (count(len(nobody)),),
        ),
        Question(
            "settlement-short",
            "How many paid invoices did the customer pay less than their amount for, and by how "
            "many percent less was it, typically?" + note,
            data,
            (count(less["invoice_no"].nunique()), percent(0.1)),
        ),
        Question(
            "settlement-twice",
            "Which invoices were paid twice according to the bank? List the numbers." + note,
            data,
            tuple(Words((str(number),)) for number in sorted(counted[counted > 1].index)),
        ),
    )


def _converted(
    invoices: pd.DataFrame, customers: pd.DataFrame, rates: pd.DataFrame
) -> tuple[Question, ...]:
    valid = invoices[invoices["status"] != "void"].assign(
        month=lambda rows: rows["issued_on"].dt.strftime("%Y-%m")
    )
    priced = valid.merge(rates, on=["month", "currency"]).merge(customers, on="customer_id")
    priced["eur_amount"] = priced["amount"] * priced["eur"]
    by_country = priced.groupby("country")["eur_amount"].agg(["count", "sum"])
    by_segment = priced.groupby("segment")["eur_amount"].sum()
    by_month = priced.groupby("month")["eur_amount"].sum()
    note = " Leave void invoices out; convert with the rate of the month of issue."
    return (
        Question(
            "settlement-revenue",
            "What is the total of our 2025 invoices in euros?" + note,
            (_INVOICES_TABLE, _RATES),
            (Number(float(by_month.sum())),),
        ),
        Question(
            "settlement-countries",
            "Show a table of the invoices by the customer's country: country, number of invoices "
            "and total in euros." + note,
            (_INVOICES_TABLE, _CUSTOMERS_TABLE, _RATES),
            (
                Table(
                    ("country", "invoices", "total_eur"),
                    tuple(
                        (str(name), int(each["count"]), round(float(each["sum"]), 2))
                        for name, each in by_country.iterrows()
                    ),
                ),
            ),
        ),
        Question(
            "settlement-best-month",
            "In which month did we invoice most in euros, and how much?" + note,
            (_INVOICES_TABLE, _RATES),
            (
                Words((leader(by_month), pd.Timestamp(f"{leader(by_month)}-01").strftime("%B"))),
                Number(float(by_month.max())),
            ),
        ),
        Question(
            "settlement-segment",
            "Which share of the invoiced euros comes from large customers, in percent?" + note,
            (_INVOICES_TABLE, _CUSTOMERS_TABLE, _RATES),
            (percent(float(by_segment["large"] / by_segment.sum())),),
        ),
    )
