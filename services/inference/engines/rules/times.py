"""When a question is about: grains ('by month') and periods ('in Q3 2025', 'last month')."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from .terms import Grain

_MONTHS = "january february march april may june july august september october november december"
_MONTH = "|".join(f"{name}|{name[:3]}" for name in _MONTHS.split()) + "|sept"
_YEAR = r"((?:19|20)\d\d)"
_BEST = (
    "(?:best|worst|busiest|quietest|highest|lowest|strongest|weakest|slowest|peak|top"
    "|coldest|warmest|hottest|wettest|driest)"
)
_UNITS: tuple[tuple[str, Grain], ...] = (
    ("month", "month"),
    ("day", "day"),
    ("week", "week"),
    ("quarter", "quarter"),
    ("year", "year"),
)
_OFTEN: tuple[tuple[str, str, Grain], ...] = (
    ("quarter", "quarterly", "quarter"),
    ("month", "monthly", "month"),
    ("week", "weekly", "week"),
    ("day", "daily", "day"),
    ("date", "day by day", "day"),
    ("year", r"yearly|annual\w*", "year"),
)
_DID = "(?:had|has|have|was|with|saw|did)"
_EACH = "(?:per|by|each|every|which|what)"
_OVER = "(?:over|across)(?: the)?"
_GRAINS: tuple[tuple[str, Grain], ...] = (
    (r"day of (?:the )?week|weekdays?|week days?", "weekday"),
    (r"when(?= (?:was|were|did|do|does|is|are)\b.*\bmost\b)", "month"),
    (rf"hour of (?:the )?day|hourly|{_EACH} hours?", "hour"),
    (r"season\w*|time of (?:the )?year|calendar month|month of (?:the )?year", "season"),
    *(
        (rf"{_EACH} {word}s?\b|{_OVER} {word}s\b|{often}|{word}[- ](?:by|over|on)[- ]{word}", found)
        for word, often, found in _OFTEN
    ),
    *(
        (
            rf"{_BEST} (?:\d+ )?{word}s?\b(?! of (?:the )?(?:day|week|month|year)\b)"
            rf"|\b{word}s?\b(?= {_DID}\b)",
            found,
        )
        for word, found in _UNITS
    ),
)


@dataclass(frozen=True)
class Period:
    """From `start` up to, not including, `end` (ISO dates; '' is open), as the question put it."""

    start: str
    end: str
    text: str
    span: tuple[int, int]


def grain(text: str) -> tuple[Grain, tuple[int, int]] | None:
    """The grain that a question asks for, with where it says so."""
    for pattern, found in _GRAINS:
        if match := re.search(rf"\b(?:{pattern})", text, re.IGNORECASE):
            return found, match.span()
    return None


def period(text: str, today: date) -> Period | None:
    """The period a question limits itself to; `today` is the last day in the data."""
    lower = text.lower()
    for pattern, read in _PERIODS:
        if match := re.search(pattern, lower):
            try:
                start, end = read(match, today)
            except ValueError:
                continue
            return Period(_iso(start), _iso(end), _said(start, end), match.span())
    return None


def years(text: str) -> tuple[int, ...]:
    """All years named, in order, each once."""
    return tuple(dict.fromkeys(int(year) for year in re.findall(rf"\b{_YEAR}\b", text)))


def months_named(text: str) -> int:
    """How many different months are named."""
    found = re.findall(rf"\b(?:{_MONTH})\b", text, re.IGNORECASE)
    return len({_month_number(name.lower()) for name in found if name != "may"})


def default_grain(first: date, last: date) -> Grain:
    """A grain that gives a readable number of points."""
    days = (last - first).days
    if days > 365 * 8:
        return "year"
    if days > 70:
        return "month"
    return "week" if days > 35 else "day"


Bounds = tuple[date | None, date | None]


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _said(start: date | None, end: date | None) -> str:
    last = end - timedelta(days=1) if end else None
    if start and last:
        if start == last:
            return f"on {start}"
        if start.day == 1 and start.month == 1 and end == date(start.year + 1, 1, 1):
            return f"in {start.year}"
        return f"from {start} to {last}"
    return f"since {start}" if start else f"until {last}"


def _month_number(name: str) -> int:
    return [month[:3] for month in _MONTHS.split()].index(name[:3]) + 1


def _add_months(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _year(match: re.Match[str], _: date) -> Bounds:
    year = int(match[1])
    return date(year, 1, 1), date(year + 1, 1, 1)


def _years(match: re.Match[str], _: date) -> Bounds:
    first, last = sorted((int(match[1]), int(match[2])))
    return date(first, 1, 1), date(last + 1, 1, 1)


def _quarter(match: re.Match[str], today: date) -> Bounds:
    number = {"first": 1, "second": 2, "third": 3, "fourth": 4}.get(match[1] or "", 0)
    number = number or int(match[2])
    start = date(int(match[3] or today.year), 3 * number - 2, 1)
    return start, _add_months(start, 3)


def _half(match: re.Match[str], today: date) -> Bounds:
    number = 1 if match[1] in ("first", "1st") or match[2] == "1" else 2
    start = date(int(match[3] or today.year), 6 * number - 5, 1)
    return start, _add_months(start, 6)


def _month(match: re.Match[str], today: date) -> Bounds:
    month = _month_number(match[1])
    year = int(match[2]) if match[2] else today.year - (month > today.month)
    return date(year, month, 1), _add_months(date(year, month, 1), 1)


def _day(match: re.Match[str], _: date) -> Bounds:
    day = date.fromisoformat(match[1])
    return day, day + timedelta(days=1)


def _between(match: re.Match[str], _: date) -> Bounds:
    return date.fromisoformat(match[1]), date.fromisoformat(match[2]) + timedelta(days=1)


def _months(match: re.Match[str], today: date) -> Bounds:
    """'From March to May 2024', 'between November 2023 and January 2024', 'March to May'."""
    first, last = _month_number(match[1]), _month_number(match[3])
    end = int(match[4] or match[2] or today.year - (last > today.month and not match[2]))
    start = int(match[2] or end - (first > last))
    return date(start, first, 1), _add_months(date(end, last, 1), 1)


def _edge(match: re.Match[str], _: date) -> Bounds:
    word, said = match[1], match[2]
    parts = [int(part) for part in said.split("-")]
    first = date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
    after = (
        first + timedelta(days=1)
        if len(parts) > 2
        else _add_months(first, 12 if len(parts) < 2 else 1)
    )
    if word in ("since", "from", "starting"):
        return first, None
    if word == "after":
        return after, None
    return None, first if word in ("before", "prior to") else after


def _last(match: re.Match[str], today: date) -> Bounds:
    count, unit = int(match[1] or 1), match[2]
    if unit == "day":
        return today - timedelta(days=count - 1), today + timedelta(days=1)
    if unit == "week":
        return today - timedelta(days=7 * count - 1), today + timedelta(days=1)
    if unit == "year" and not match[1]:
        return date(today.year - 1, 1, 1), date(today.year, 1, 1)
    this = today.replace(day=1)
    months = count * {"month": 1, "quarter": 3, "year": 12}[unit]
    if match[1]:  # the last N months include the running one
        return _add_months(this, 1 - months), _add_months(this, 1)
    if unit == "quarter":
        this = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
    return _add_months(this, -months), this


def _this(match: re.Match[str], today: date) -> Bounds:
    if match[1] == "year":
        return date(today.year, 1, 1), date(today.year + 1, 1, 1)
    if match[1] == "quarter":
        start = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
        return start, _add_months(start, 3)
    start = today.replace(day=1)
    return start, _add_months(start, 1)


_ISO = r"(\d{4}-\d\d-\d\d)"
_PERIODS: tuple[tuple[str, Callable[[re.Match[str], date], Bounds]], ...] = (
    (rf"(?:between|from) {_ISO} (?:and|to|until|till) {_ISO}", _between),
    (rf"(?:between|from) {_YEAR} (?:and|to|until|till|-) {_YEAR}\b", _years),
    (
        rf"\b(?:between|from|in)? ?\b({_MONTH})\b\.?(?: {_YEAR})? "
        rf"(?:and|to|until|till|through|-|–) ({_MONTH})\b\.?,?(?: (?:of )?{_YEAR})?",
        _months,
    ),
    (
        r"\b(since|from|starting|after|before|prior to|until|till|up to)(?: the)? ?"
        r"((?:19|20)\d\d(?:-\d\d(?:-\d\d)?)?)\b",
        _edge,
    ),
    (rf"\b{_ISO}\b", _day),
    (rf"\b(?:(first|second|third|fourth) quarter|q([1-4]))(?: of| in|,)?(?: {_YEAR})?\b", _quarter),
    (rf"\b(?:(first|second|1st|2nd) half|h([12]))(?: of| in|,)?(?: {_YEAR})?\b", _half),
    (rf"\b(?:in|during|for|of|since)? ?\b({_MONTH})\b\.?,? (?:of )?{_YEAR}\b", _month),
    (rf"\b(?:in|during|for) ({_MONTH})\b(?!\w)()", _month),
    (r"\b(?:last|past|previous|recent|latest) (\d+)? ?(day|week|month|quarter|year)s?\b", _last),
    (r"\b(?:this|current) (month|quarter|year)\b", _this),
    (rf"\b{_YEAR}\b", _year),
)
