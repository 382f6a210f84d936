"""A software company's site: sessions of half a year, and what was viewed in them."""

import numpy as np
import pandas as pd

from training.evaluation.dataset import LAKE, Domain, Number, Question, Words
from training.evaluation.seen.ranking import first

_VISITORS, _SESSIONS, _VIEWS, _TWICE = 3100, 6200, 18_500, 11
_SESSIONS_FILE = "web/sessions.csv"
_VIEWS_FILES = "web/pageviews-*.jsonl"

_SOURCES = {
    "organic": 0.021,
    "direct": 0.030,
    "newsletter": 0.071,
    "paid_search": 0.044,
    "social": 0.012,
}
_COUNTRIES = ("Germany", "France", "Spain", "Poland", "Austria")
# how long a page loads, and how often it is viewed
_PAGES = {
    "/": (420, 0.30),
    "/pricing": (510, 0.17),
    "/features": (560, 0.16),
    "/docs": (380, 0.18),
    "/blog": (640, 0.12),
    "/checkout": (830, 0.07),
}


def domain() -> Domain:
    rng = np.random.default_rng(90_125)
    sessions = _sessions(rng)
    views = _views(rng, sessions)
    return Domain(
        name="web",
        files={_SESSIONS_FILE: sessions.to_csv(index=False, lineterminator="\n").encode()}
        | {_month_file(month): _json_lines(part) for month, part in views.groupby(_months(views))},
        tables={},
        questions=(
            _visitors(sessions),
            _mobile_share(sessions),
            _newsletter(sessions),
            _slowest_in_germany(sessions, views),
            _server_errors(views),
            _pricing_month(views),
            _slow_loads(views),
            Question(
                id="web-age",
                text="What is the average age of our visitors?",
                data=(f"{LAKE}:{_SESSIONS_FILE}",),
                expects=(),
                refuses=True,
            ),
        ),
    )


# The data


def _sessions(rng: np.random.Generator) -> pd.DataFrame:
    source = rng.choice(list(_SOURCES), _SESSIONS, p=[0.36, 0.22, 0.12, 0.18, 0.12])
    converted = rng.random(_SESSIONS) < pd.Series(source).map(_SOURCES).to_numpy()
    started = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.sort(rng.integers(0, 182 * 86_400, _SESSIONS)), unit="s"
    )
    frame = pd.DataFrame(
        {
            "sessionId": [f"s-{70_000 + at}" for at in range(_SESSIONS)],
            "visitorId": [f"v{each:05}" for each in rng.integers(0, _VISITORS, _SESSIONS)],
            "startedAt": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "deviceType": _devices(rng),
            "country": rng.choice(_COUNTRIES, _SESSIONS, p=[0.34, 0.24, 0.18, 0.14, 0.1]),
            "trafficSource": source,
            "durationSec": np.round(rng.lognormal(4.6, 0.9, _SESSIONS)),
            "converted": converted,
            "orderValue": np.where(
                converted, np.round(rng.lognormal(4.2, 0.5, _SESSIONS), 2), np.nan
            ),
        }
    )
    frame.loc[rng.random(_SESSIONS) < 0.03, "durationSec"] = np.nan
    # twice: where hardly any answer depends on it
    twice = frame[frame["trafficSource"] == "social"].head(_TWICE)
    return pd.concat([frame, twice], ignore_index=True)


def _devices(rng: np.random.Generator) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    # an older tracker wrote Mobile
    return rng.choice(
        ["mobile", "Mobile", "desktop", "tablet"], _SESSIONS, p=[0.44, 0.07, 0.41, 0.08]
    )


def _views(rng: np.random.Generator, sessions: pd.DataFrame) -> pd.DataFrame:
    once = sessions.drop_duplicates()
    at = np.sort(rng.integers(0, len(once), _VIEWS))
    started = pd.to_datetime(once["startedAt"].to_numpy()[at], format="%Y-%m-%dT%H:%M:%SZ")
    page = rng.choice(list(_PAGES), _VIEWS, p=[often for _, often in _PAGES.values()])
    # a campaign of April leads to the prices
    page = np.where(
        (started.month == 4) & (page == "/") & (rng.random(_VIEWS) < 0.4), "/pricing", page
    )
    typical = np.array([_PAGES[each][0] for each in page])
    frame = pd.DataFrame(
        {
            "sessionId": once["sessionId"].to_numpy()[at],
            "ts": started,
            "page": page,
            "loadMs": np.round(typical * rng.lognormal(0, 0.35, _VIEWS)),
            "status": rng.choice(
                [200, 304, 404, 500, 503], _VIEWS, p=[0.86, 0.08, 0.037, 0.015, 0.008]
            ),
        }
    )
    frame.loc[rng.random(_VIEWS) < 0.01, "loadMs"] = np.nan
    return frame


def _months(views: pd.DataFrame) -> "pd.Series[str]":
    return pd.Series(views["ts"].dt.strftime("%Y-%m"))


def _month_file(month: object) -> str:
    return _VIEWS_FILES.replace("*", str(month))


def _json_lines(views: pd.DataFrame) -> bytes:
    written = views.assign(ts=views["ts"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return str(written.to_json(orient="records", lines=True)).encode()


# The questions


def _visitors(sessions: pd.DataFrame) -> Question:
    return Question(
        id="web-visitors",
        text="How many different visitors were on the site in the first half of 2024?",
        data=(f"{LAKE}:{_SESSIONS_FILE}",),
        expects=(Number(sessions["visitorId"].nunique(), relative=0.0),),
    )


def _mobile_share(sessions: pd.DataFrame) -> Question:
    mobile = sessions.drop_duplicates()["deviceType"].str.lower() == "mobile"
    return Question(
        id="web-mobile-share",
        text="What share of our sessions come from mobile phones?",
        data=(f"{LAKE}:{_SESSIONS_FILE}",),
        expects=(Number(float(mobile.mean() * 100), percent=True, absolute=0.1, relative=0.0),),
    )


def _newsletter(sessions: pd.DataFrame) -> Question:
    rates = sessions.drop_duplicates().groupby("trafficSource")["converted"].mean() * 100
    return Question(
        id="web-newsletter",
        text="Does newsletter traffic convert better than paid search? I need both conversion "
        "rates.",
        data=(f"{LAKE}:{_SESSIONS_FILE}",),
        expects=tuple(
            Number(float(rates[source]), percent=True, absolute=0.1, relative=0.0)
            for source in ("newsletter", "paid_search")
        ),
    )


def _slowest_in_germany(sessions: pd.DataFrame, views: pd.DataFrame) -> Question:
    german = sessions.drop_duplicates().query("country == 'Germany'")
    seen = views[views["sessionId"].isin(german["sessionId"])]
    page, load = first(seen.groupby("page")["loadMs"].mean())
    return Question(
        id="web-slowest-in-germany",
        text="For visitors from Germany, which page loads slowest on average and how many "
        "milliseconds does it take?",
        data=(f"{LAKE}:{_SESSIONS_FILE}", f"{LAKE}:{_VIEWS_FILES}"),
        expects=(Words((page.strip("/"),)), Number(load)),
    )


def _server_errors(views: pd.DataFrame) -> Question:
    return Question(
        id="web-server-errors",
        text="How many percent of page views ended in a server error, that is a status of 500 or "
        "more?",
        data=(f"{LAKE}:{_VIEWS_FILES}",),
        expects=(
            Number(
                float((views["status"] >= 500).mean() * 100),
                percent=True,
                absolute=0.05,
                relative=0.0,
            ),
        ),
    )


def _pricing_month(views: pd.DataFrame) -> Question:
    pricing = views[views["page"] == "/pricing"]
    month, count = first(_months(pricing).value_counts())
    named = pd.Timestamp(f"{month}-01")
    return Question(
        id="web-pricing-month",
        text="When was the pricing page viewed most? Tell me the month and the number of views.",
        data=(f"{LAKE}:{_VIEWS_FILES}",),
        expects=(
            Words((named.strftime("%B"), named.strftime("%b %Y"), month)),
            Number(count, relative=0.0),
        ),
    )


def _slow_loads(views: pd.DataFrame) -> Question:
    return Question(
        id="web-slow-loads",
        text="What is the 95th percentile of the page load time in milliseconds?",
        data=(f"{LAKE}:{_VIEWS_FILES}",),
        expects=(Number(float(views["loadMs"].quantile(0.95))),),
    )
