"""Time from one date of a row to another: 'how long until the first reply', 'closed within a day'.
Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import limits, vocabulary
from .asking import Asked, near_stem
from .schema import Column, Table
from .terms import Candidate, Measure
from .words import any_akin, stem

# nothing that is merely named comes before a limit to a length of time
_SURE = 8.0
_UNIT = r"(?P<unit>minute|hour|day|week)s?"
_CUES = "|".join(cue for cues in limits.OPERATORS.values() for cue in cues.split("|"))
_NUMBER = rf"(?P<number>\d+(?:\.\d+)?|an?|{limits.NUMBERS})"
_LIMIT = re.compile(
    rf"\b(?P<cue>within|longer than|shorter than|{_CUES}) {_NUMBER}[ -]{_UNIT}\b"
    rf"|\b{_NUMBER.replace('number', 'second')}[ -]{_UNIT.replace('unit', 'other')}"
    r" (?P<behind>or (?:more|longer|less|fewer|shorter))\b",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"\bhow long\b|\bduration\b|\blengths? of\b"
    rf"|\bhow many {_UNIT} (?:do|does|did|pass\w*|until|it)\b"
    rf"|\bnumber of {_UNIT.replace('unit', 'spent')} (?:\w+ ){{0,2}}(?:spent|spend|stayed|took)\b"
    r"|\btakes?\b|\btook\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\btime\b|\bfast\w*|\bslow\w*|\bquick\w*|\bdays\b|\bhours\b|\bminutes\b|\blong\w*|\bshort\w*"
    r"|\blast(?:s|ed)\b",
    re.IGNORECASE,
)
_IN_UNIT = re.compile(rf"\b(?:how many|in) {_UNIT.replace('s?', 's')}\b", re.IGNORECASE)
_LATE = re.compile(r"\blate\b|\boverdue\b|\bdelay", re.IGNORECASE)
_BRIEF = ("departed", "start", "login", "begin", "opened")
SECONDS = {"minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}


@dataclass(frozen=True)
class Limit:
    """A limit to a length of time; `span`: where the question says so, in characters."""

    operator: str
    number: str
    unit: str
    span: tuple[int, int]


def limit(text: str) -> Limit | None:
    """'Within 24 hours', 'more than two days', '3 weeks or longer'."""
    found = _LIMIT.search(text)
    if found is None:
        return None
    said = (found["number"] or found["second"]).lower()
    number = "1" if said in ("a", "an") else limits.plain(said)
    unit = (found["unit"] or found["other"]).lower() + "s"
    if found["behind"]:
        operator = ">=" if found["behind"].lower().endswith(("more", "longer")) else "<="
    elif found["cue"].lower() == "within":
        operator = "<="
    else:
        operator = limits.operator(found["cue"])
    return Limit(operator, number, unit, found.span())


def candidates(asked: Asked, table: Table) -> Iterator[Candidate]:
    """The time from one date to another, or whether it keeps a limit."""
    if _timed(table) or any(
        m.column and m.column.measure and m.score >= 1.5 for m in asked.mentions
    ):
        return
    found = limit(asked.text)
    pair = _pair(asked, table)
    if pair is None or (found and _LATE.search(asked.text)):
        return
    start, end = pair
    near = 0.3 * near_stem(asked, table.stems) + 0.3 * near_stem(asked, end.stems)
    if found:
        told = (
            f"with {found.operator} {found.number} {found.unit} from {start.label} to {end.label}"
        )
        value = f"{found.operator} {found.number} {found.unit}"
        within = Measure(
            "within", table.name, (start.name, end.name), told, value=value, additive=False
        )
        yield Candidate(_SURE + near, within)
        return
    counted = re.search(rf"\b(?:how many|number of) {_UNIT}", asked.text, re.IGNORECASE)
    if _PLAIN.search(asked.text) or (near and _NAMED.search(asked.text)):
        unit = _unit(asked, start)
        label = f"{unit} from {start.label} to {end.label}"
        days = Measure(
            "days", table.name, (start.name, end.name), label, additive=False,
            value="" if unit == "days" else unit,
        )  # fmt: skip
        score = _SURE if counted and _PLAIN.search(asked.text) else 1.9
        yield Candidate(score + near, days)


def _timed(table: Table) -> bool:
    """Whether a column tells the duration."""
    return any(any_akin(column.stems, ("duration",)) for column in table.columns if column.measure)


def _pair(asked: Asked, table: Table) -> tuple[Column, Column] | None:
    """From where to where: what the question names, else what the dates are called."""
    starts = _called(table, vocabulary.STARTED)
    ends = _called(table, vocabulary.ENDED)
    named = [
        mention.column for mention in asked.mentions
        if mention.column and mention.column.table == table.name
        and mention.column.kind == "date" and mention.score >= 0.8
    ]  # fmt: skip
    for end in [*named, *ends]:
        for start in [*starts, *named]:
            if start != end and str(start.low) <= str(end.low) and end not in starts[:1]:
                return start, end
    return None


def _called(table: Table, words: tuple[str, ...]) -> list[Column]:
    """Dates called by one of these words, the first word's before the last's."""
    wanted = [stem(word) for word in words]
    found = [column for column in table.dates if set(wanted) & set(column.stems)]
    return sorted(found, key=lambda c: min(wanted.index(s) for s in c.stems if s in wanted))


def _unit(asked: Asked, start: Column) -> str:
    if said := _IN_UNIT.search(asked.text):
        return said["unit"].lower() + "s"
    return "hours" if any_akin(start.stems, _BRIEF) and start.facts.get("clock") else "days"
