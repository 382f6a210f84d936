"""Tidepool, which rents out storage: accounts and invoices in PostgreSQL (`billing`), the bank's
files, usage and events in its container (`exports`)."""

import gzip
import io
import json
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from training.evaluation.dataset import Words
from training.examples.world import Origin, Truth, World, about, exactly, percent

_ACCOUNTS = 420
_PLANS = {"S": ("Small", 19.0, 50), "M": ("Medium", 59.0, 200), "L": ("Large", 190.0, 1000)}
_COUNTRIES = ("DE", "FR", "NL", "AT", "ES", "PL")
_ENDPOINTS = {"upload": 180.0, "download": 90.0, "list": 35.0, "share": 60.0}
Series: TypeAlias = "pd.Series[Any]"

_SCHEMA = """
CREATE TABLE plans (
    plan_id text PRIMARY KEY, name text NOT NULL, price_eur numeric(8,2) NOT NULL,
    included_gb integer NOT NULL);
CREATE TABLE accounts (
    account_id integer PRIMARY KEY, name text NOT NULL, country text,
    plan_id text NOT NULL REFERENCES plans, signed_up date NOT NULL, closed_on date,
    referred_by integer REFERENCES accounts);
COMMENT ON COLUMN accounts.referred_by IS 'Account that recommended us; null when nobody did';
CREATE TABLE activity (
    account_id integer NOT NULL REFERENCES accounts, month date NOT NULL,
    PRIMARY KEY (account_id, month));
COMMENT ON TABLE activity IS 'A row for each month in which an account signed in';
CREATE TABLE invoices (
    invoice_no text PRIMARY KEY, account_id integer NOT NULL REFERENCES accounts,
    issued_on date NOT NULL, amount_eur numeric(10,2) NOT NULL);
CREATE TABLE credit_notes (
    credit_no text PRIMARY KEY, invoice_no text NOT NULL REFERENCES invoices,
    issued_on date NOT NULL, amount_eur numeric(10,2) NOT NULL);
CREATE TABLE transfers (
    account_id integer NOT NULL REFERENCES accounts, day date NOT NULL, bytes integer NOT NULL);
CREATE TABLE token_ledger (entry_id integer PRIMARY KEY, units numeric(24,6) NOT NULL);
COMMENT ON TABLE token_ledger IS 'Credits issued and used, in millionths; balances must be exact';
"""


def world() -> World:
    rng = np.random.default_rng(7301)
    saas = _Saas(rng)
    return World(
        database=Origin(
            "billing",
            "Tidepool's accounts, plans, invoices and activity",
            {"statement_timeout_s": 4},
        ),
        schema=_SCHEMA,
        tables={
            "plans": saas.plans,
            "accounts": saas.accounts,
            "activity": saas.activity,
            "invoices": saas.invoices,
            "transfers": saas.transfers,
            "token_ledger": saas.ledger,
        },
        lake=Origin(
            "exports", "Bank statements (CSV), usage (Parquet by month), events (JSON lines)"
        ),
        files=saas.files(),
        truths={
            "saas-retention": saas.retention(),
            "saas-mrr": saas.recurring(),
            "saas-unpaid": saas.unpaid(),
            "saas-usage-growth": saas.usage_growth(),
            "saas-overage": saas.overage(),
            "saas-bits": saas.bits(),
            "saas-referrers": saas.referrers(),
            "saas-credit-notes": (Words(("none", "no credit note", "empty")),),
            "saas-latency": saas.latency(),
            "saas-best-customers": saas.best(),
            "saas-churn": saas.churn(),
            "saas-ledger": saas.balance(),
            "saas-record-days": saas.record_days(),
        },
    )


class _Saas:
    """The frames, and what they say."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.plans = pd.DataFrame(
            [(key, *of) for key, of in _PLANS.items()],
            columns=["plan_id", "name", "price_eur", "included_gb"],
        )
        self.accounts = _accounts(rng)
        self.activity = _activity(rng, self.accounts)
        self.invoices = _invoices(self.accounts)
        self.transfers = _transfers(rng)
        self.ledger = _ledger()
        self._bank = _bank(rng, self.invoices)
        self._usage = _usage(rng, self.accounts)
        self._events = _events(rng)

    def files(self) -> dict[str, bytes]:
        found = {
            f"bank/2026-{month:02}.csv": rows.to_csv(index=False).encode()
            for month, rows in self._bank.groupby(self._bank["booked_on"].str[5:7].astype(int))
        }
        for month, rows in self._usage.groupby("month"):
            content = io.BytesIO()
            rows.drop(columns="month").to_parquet(content, index=False)
            found[f"usage/year=2026/month={month}/part-0.parquet"] = content.getvalue()
        lines = "".join(json.dumps(each) + "\n" for each in self._events)
        found["events/2026-03.jsonl.gz"] = gzip.compress(lines.encode(), mtime=0)
        return found

    def retention(self) -> Truth:
        signed = pd.to_datetime(self.accounts["signed_up"]).dt.to_period("M")
        active = set(
            zip(
                self.activity["account_id"],
                pd.PeriodIndex(self.activity["month"], freq="M"),
                strict=True,
            )
        )
        shares = {}
        for month in pd.period_range("2025-07", "2025-12", freq="M"):
            cohort = self.accounts.loc[signed == month, "account_id"]
            shares[month] = np.mean([(each, month + 3) in active for each in cohort])
        worst = min(shares, key=lambda each: shares[each])
        members = self.accounts.loc[signed.isin(list(shares)), "account_id"]
        first = signed[members.index]
        kept = [(who, when + 3) in active for who, when in zip(members, first, strict=True)]
        return (
            percent(float(np.mean(kept))),
            percent(float(shares[worst])),
            Words((worst.strftime("%B"),)),
        )

    def _open_at(self, day: str) -> pd.DataFrame:
        closed = self.accounts["closed_on"].fillna("9999-12-31")
        return self.accounts[(self.accounts["signed_up"] <= day) & (closed > day)].merge(
            self.plans, on="plan_id"
        )

    def recurring(self) -> Truth:
        open_now = self._open_at("2026-03-31")
        by = open_now.groupby("plan_id")["price_eur"].sum()
        return exactly(float(by.sum())), exactly(len(open_now)), percent(by["L"] / by.sum())

    def unpaid(self) -> Truth:
        paid = self._bank.assign(no=self._bank["reference"].str.strip().str.upper())
        by = paid.groupby("no")["amount"].agg(["sum", "count"])
        joined = self.invoices.set_index("invoice_no").join(by)
        missing = joined["count"].isna()
        twice = joined["count"] > 1
        other = (joined["count"] == 1) & ((joined["sum"] - joined["amount_eur"]).abs() > 0.005)
        unknown = ~by.index.isin(self.invoices["invoice_no"])
        return (
            exactly(int(missing.sum())),
            exactly(round(float(joined.loc[missing, "amount_eur"].sum()), 2)),
            exactly(int(twice.sum())),
            exactly(int(other.sum())),
            exactly(int(unknown.sum())),
        )

    def usage_growth(self) -> Truth:
        months = self._usage.groupby("month")["gb"].sum()
        return about(months[3], within=0.6), percent(months[3] / months[1] - 1)

    def overage(self) -> Truth:
        used = self._usage[self._usage["month"] == 3].groupby("account_id")["gb"].sum()
        joined = self.accounts.merge(self.plans, on="plan_id").set_index("account_id")
        over = (used - joined["included_gb"].reindex(used.index)).clip(lower=0)
        return exactly(int((over > 0).sum())), about(float(over.sum()), within=0.6)

    def bits(self) -> Truth:
        by = self.transfers.groupby("account_id")["bytes"].sum() * 8
        return exactly(by.index.tolist()[int(by.argmax())]), about(by.max() / 1e9, within=0.06)

    def referrers(self) -> Truth:
        named = self.accounts["referred_by"].dropna()
        none = ~self.accounts["account_id"].isin(named)
        return (exactly(int(none.sum())),)

    def latency(self) -> Truth:
        rows = [each for each in self._events if isinstance(each["ms"], int)]
        by = pd.DataFrame(rows).groupby("event")["ms"].quantile(0.95)
        return (
            Words((str(by.idxmax()),)),
            about(float(by.max()), within=0.6),
            exactly(len(self._events) - len(rows)),
        )

    def best(self) -> Truth:
        total = self.invoices.groupby("account_id")["amount_eur"].sum()
        names = self.accounts.set_index("account_id")["name"]
        top = total.nlargest(1)
        tied = total[total == top.iloc[0]]
        assert len(tied) > 1
        return exactly(len(tied)), exactly(float(top.iloc[0])), Words((str(names[tied.index[0]]),))

    def churn(self) -> Truth:
        begun = self._open_at("2025-12-31")
        gone = begun["closed_on"].fillna("9999") <= "2026-03-31"
        by = gone.groupby(begun["plan_id"]).mean()
        return percent(float(gone.mean())), *(percent(float(each)) for each in by)

    def balance(self) -> Truth:
        total = sum(map(Decimal, self.ledger["units"]))
        return (Words((f"{total:,}",)),)

    def record_days(self) -> Truth:
        rows = self.transfers.sort_values(["account_id", "day"])
        before = rows.groupby("account_id")["bytes"].cumsum() - rows["bytes"]
        first = rows.groupby("account_id").cumcount() == 0
        record = (rows["bytes"] > before) & ~first
        return exactly(int(record.sum())), exactly(int(rows[record]["account_id"].nunique()))


def _accounts(rng: np.random.Generator) -> pd.DataFrame:
    ids = np.arange(1, _ACCOUNTS + 1)
    days = np.sort(rng.integers(0, 450, _ACCOUNTS))
    signed = pd.Timestamp("2025-01-01") + pd.to_timedelta(days, unit="D")
    plan = rng.choice(list(_PLANS), _ACCOUNTS, p=[0.6, 0.3, 0.1])
    life = rng.exponential(np.select([plan == "S", plan == "M"], [520.0, 900.0], 1500.0))
    closed = signed + pd.to_timedelta(life.astype(int) + 20, unit="D")
    referred = [
        int(rng.integers(1, each)) if each > 1 and rng.random() < 0.3 else None for each in ids
    ]
    country = rng.choice(_COUNTRIES, _ACCOUNTS).astype(object)
    country[rng.random(_ACCOUNTS) < 0.04] = None
    return pd.DataFrame(
        {
            "account_id": ids,
            "name": [f"{word} {kind}" for word, kind in _names(rng)],
            "country": country,
            "plan_id": plan,
            "signed_up": signed.strftime("%Y-%m-%d"),
            "closed_on": [
                each.strftime("%Y-%m-%d") if each < pd.Timestamp("2026-04-01") else None
                for each in closed
            ],
            "referred_by": pd.array(referred, dtype="Int64"),
        }
    )


def _names(rng: np.random.Generator) -> list[tuple[str, str]]:
    words = (
        "Amber",
        "Basalt",
        "Cobalt",
        "Delta",
        "Ember",
        "Fjord",
        "Grove",
        "Harbor",
        "Iris",
        "Juno",
    )
    kinds = ("Studio", "Labs", "Foods", "Legal", "Clinic", "Media", "Works", "Garden")
    pairs = [(word, kind) for word in words for kind in kinds]
    return [
        (pairs[at % 80][0], f"{pairs[at % 80][1]} {at // 80 + 1}")
        for at in rng.permutation(_ACCOUNTS)
    ]


def _activity(rng: np.random.Generator, accounts: pd.DataFrame) -> pd.DataFrame:
    rows = []
    first_months = pd.PeriodIndex(accounts["signed_up"], freq="M")
    last_months = pd.PeriodIndex(accounts["closed_on"].fillna("2026-03-31"), freq="M")
    ids = accounts["account_id"].tolist()
    for account, first, last in zip(ids, first_months, last_months, strict=True):
        for month in pd.period_range(first, last, freq="M"):
            if month == first or rng.random() < (0.72 if first.month == 10 else 0.88):
                rows.append((account, f"{month}-01"))
    return pd.DataFrame(rows, columns=["account_id", "month"])


def _invoices(accounts: pd.DataFrame) -> pd.DataFrame:
    closed = accounts["closed_on"].fillna("9999")
    price = accounts["plan_id"].map({key: of[1] for key, of in _PLANS.items()})
    parts = []
    for day in ("2026-01-01", "2026-02-01", "2026-03-01"):
        there = (accounts["signed_up"] < day) & (closed > day)
        part = pd.DataFrame(
            {"account_id": accounts["account_id"], "issued_on": day, "amount_eur": price}
        )
        parts.append(part[there])
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(0, "invoice_no", [f"INV-2026-{at:04}" for at in range(1, len(frame) + 1)])
    return frame


def _bank(rng: np.random.Generator, invoices: pd.DataFrame) -> pd.DataFrame:
    """What was paid: some not, some twice, some too little, and each bank writes as it likes."""
    drawn = rng.random(len(invoices))
    paid = invoices[drawn > 0.035]
    twice = paid.iloc[rng.choice(len(paid), 9, replace=False)]
    rows = pd.concat([paid, twice], ignore_index=True)
    after = pd.to_timedelta(rng.integers(1, 27, len(rows)), unit="D")
    reference = np.where(
        rng.random(len(rows)) < 0.2, rows["invoice_no"].str.lower(), rows["invoice_no"]
    )
    reference = np.where(
        rng.random(len(rows)) < 0.15, " " + reference.astype(object) + " ", reference
    )
    amount = rows["amount_eur"].to_numpy().copy()
    short = rng.choice(len(paid), 12, replace=False)
    amount[short] = np.round(amount[short] * 0.9, 2)
    frame = pd.DataFrame(
        {
            "booked_on": (pd.to_datetime(rows["issued_on"]) + after).dt.strftime("%Y-%m-%d"),
            "reference": reference,
            "amount": amount,
        }
    )
    strange = pd.DataFrame(
        {
            "booked_on": ["2026-01-19", "2026-02-11", "2026-02-24", "2026-03-09"],
            "reference": ["RENT FEB", "INV-2025-0871", "INV-2025-0902", "refund tax office"],
            "amount": [-2400.0, 59.0, 19.0, 312.4],
        }
    )
    return pd.concat([frame, strange]).sort_values("booked_on", kind="stable", ignore_index=True)


def _usage(rng: np.random.Generator, accounts: pd.DataFrame) -> pd.DataFrame:
    size = {key: of[2] for key, of in _PLANS.items()}
    base = accounts["plan_id"].map(size).to_numpy() * rng.lognormal(-0.9, 0.7, len(accounts))
    parts = []
    for month, growth in ((1, 1.0), (2, 1.06), (3, 1.15)):
        first = f"2026-{month:02}-01"
        there = (accounts["signed_up"] < first) & (accounts["closed_on"].fillna("9999") > first)
        gb = np.round(base * growth * rng.lognormal(0, 0.15, len(accounts)), 3)
        parts.append(
            pd.DataFrame({"account_id": accounts["account_id"], "gb": gb, "month": month})[there]
        )
    return pd.concat(parts, ignore_index=True)


def _transfers(rng: np.random.Generator) -> pd.DataFrame:
    account = rng.choice(np.arange(1, _ACCOUNTS + 1), 16_000)
    day = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90, 16_000), unit="D")
    size = np.minimum(rng.lognormal(17.5, 1.2, 16_000), 2_100_000_000).astype(np.int64)
    frame = pd.DataFrame({"account_id": account, "day": day.strftime("%Y-%m-%d"), "bytes": size})
    return frame.drop_duplicates(["account_id", "day"]).sort_values(
        ["day", "account_id"], ignore_index=True
    )


def _ledger() -> pd.DataFrame:
    """Large credits and small use: their sum needs more digits than a float has."""
    units = ["90071992547409.930001", "-90071992547409.929999"]
    units += [f"{at}.{at * 7 % 1_000_000:06}" for at in range(1, 400)]
    units += ["123456789012345.678901", "0.000003"]
    return pd.DataFrame({"entry_id": range(1, len(units) + 1), "units": units})


def _events(rng: np.random.Generator) -> list[dict[str, Any]]:
    names = rng.choice(list(_ENDPOINTS), 5000, p=[0.3, 0.4, 0.2, 0.1])
    took = np.array([_ENDPOINTS[each] for each in names]) * rng.lognormal(0, 0.6, 5000)
    second = np.sort(rng.integers(0, 31 * 86_400, 5000))
    at = pd.Timestamp("2026-03-01") + pd.to_timedelta(second, unit="s")
    lost = rng.random(5000) < 0.012
    return [
        {
            "at": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "account": int(account),
            "event": str(name),
            "ms": "n/a" if gone else int(ms),
        }
        for when, account, name, ms, gone in zip(
            at, rng.integers(1, _ACCOUNTS + 1, 5000), names, took, lost, strict=True
        )
    ]
