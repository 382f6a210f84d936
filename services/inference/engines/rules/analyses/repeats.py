"""How many things have so many rows: customers with three orders or more, keys met twice."""

import re
from dataclasses import dataclass, replace

from .. import measures
from ..asking import Asked, limited
from ..limits import NUMBERS
from ..limits import number as counted
from ..mentions import Mention
from ..narrowing import with_conditions, with_dates
from ..plan import Plan
from ..planning import label_of
from ..prose import capital, cell, number, percent, real, records, table
from ..schema import Column, Schema, Table
from ..terms import Field
from ..words import plural
from .program import Analysis, Artifacts, Result, assemble, frame_of, notes

_N = rf"(\d{{1,3}}|{NUMBERS}|once|twice)"
_ASKED: tuple[tuple[str, str], ...] = (
    (rf"\b{_N} times or more\b|\b{_N} or more times\b|\bat least {_N}(?: times)?\b", ">="),
    (rf"\bmore than {_N}(?: times?)?\b", ">"),
    (rf"\b(?:exactly|only|just) {_N}(?: times)?\b", "=="),
    (rf"\b{_N} times or (?:less|fewer)\b|\bat most {_N}(?: times)?\b", "<="),
)
_OFTEN = re.compile(r"\b(?:once|twice|times)\b", re.IGNORECASE)
_WORDS = {">=": "{} or more", ">": "more than {}", "==": "exactly {}", "<=": "at most {}"}
_SHOWN = 12


@dataclass(frozen=True)
class Often:
    """`said`: where the question says how often, in characters."""

    operator: str
    times: int
    said: tuple[int, int]

    @property
    def told(self) -> str:
        return _WORDS[self.operator].format(self.times)


def often(text: str) -> Often | None:
    """How often something is asked to have happened: 'three times or more', 'more than once'."""
    for pattern, operator in _ASKED:
        if found := re.search(pattern, text, re.IGNORECASE):
            said = next(group for group in found.groups() if group)
            return Often(operator, counted(said), found.span())
    return None


@dataclass(frozen=True)
class Repeats:
    """Things, told apart by `key`, that so many rows of the plan's base belong to."""

    plan: Plan
    key: Field
    things: str
    often: Often

    @classmethod
    def of(cls, asked: Asked, schema: Schema) -> "Repeats | None":
        """None where the question does not ask how many have so many."""
        found = often(asked.text)
        if found is None:
            return None
        listed = [option for group in asked.groups[:1] for option in group.options]
        rows = _rows_said(asked, found)
        if rows is None and not _OFTEN.search(asked.text[slice(*found.said)]):
            return None
        if asked.rate and not listed:
            listed = _share_of(asked)
        for mention in (*measures.counted_things(asked), *listed) if asked.count else listed:
            for base in _bases(asked, schema, rows):
                key = _key(schema, base, mention)
                if key is not None and not (rows and key.table != rows.name):
                    plan = Plan(schema, asked, base.name, measures.row_count(base), "count")
                    plan = with_dates(with_conditions(plan))
                    over = limited(asked.text)
                    own = over is not None and found.said[0] < over[1] and over[0] < found.said[1]
                    kept = tuple(c for c in plan.conditions if not (own and c.limiting))
                    plan = replace(plan, conditions=kept, groups=())
                    things = _things(mention, key)
                    return cls(plan, Field(key.table, key.name), things, found)
        return None

    @property
    def title(self) -> str:
        many = self.plan.schema.table(self.plan.base).many
        return f"{self.things} with {self.often.told} {many}"

    def aim(self) -> str:
        return f"{capital(self.title)}: count the rows of each first."

    def program(self) -> str:
        frame = frame_of(self.plan, fields=(self.key,))
        key = frame.name(self.key)
        body = [
            "",
            f"times = data.groupby({key!r}).size().sort_values(ascending=False, kind='stable')",
            f"hits = times[times {self.often.operator} {self.often.times}]",
            "print(hits.describe().to_string())",
            f"hits.rename('rows').to_csv({Artifacts(self.title).table!r})",
            f'rows = [{{"key": str(k), "n": int(n)}} for k, n in hits.head({_SHOWN}).items()]',
            'result = {"hits": len(hits), "all": len(times), "n": len(data), "rows": rows}',
        ]
        return assemble(self.aim(), frame.lines(), body, plot=False)

    def report(self, result: Result) -> str:
        hits, every = real(result.get("hits")), real(result.get("all"))
        kept = ", ".join(condition.text for condition in self.plan.conditions)
        where = f" ({cell(kept)})" if kept else ""
        share = (
            f" That is {percent(hits / every)} of {number(every)} that have any." if every else ""
        )
        parts = [f"**{number(hits)} {cell(self.title)}{where}.**{share}"]
        rows = records(result, "rows")
        if rows:
            lines = [[cell(row.get("key")), number(row.get("n"))] for row in rows]
            parts.append(table([cell(self.key.label), "rows"], lines))
        frame = frame_of(self.plan, fields=(self.key,))
        more = f"{number(result.get('n'))} rows went in."
        return "\n\n".join([*parts, notes(self.plan, frame, Artifacts(self.title), more)])

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return None if self.plan.careful else replace(self, plan=replace(self.plan, careful=True))


def spans(text: str) -> list[tuple[int, int]]:
    """Where a question says how often."""
    found = often(text)
    said = [match.span() for match in re.finditer(r"\b(?:occur\w*|twice|often)\b", text, re.I)]
    return [*said, found.said] if found else said


def _rows_said(asked: Asked, found: Often) -> Table | None:
    """The table named right behind the number: 'at least two orders'."""
    behind = [index for index, word in enumerate(asked.words) if word.start >= found.said[1]]
    near = [
        m for m in asked.mentions if m.column is None and m.score >= 0.8 and m.start in behind[:2]
    ]
    return max(near, key=lambda mention: mention.score).table if near else None


def _share_of(asked: Asked) -> list[Mention]:
    """What 'what share of' speaks of: the thing that is told first."""
    tables = [m for m in asked.mentions if m.column is None and m.score >= 0.8]
    return sorted(tables, key=lambda mention: mention.start)[:1]


def _bases(asked: Asked, schema: Schema, rows: Table | None) -> list[Table]:
    """Tables whose rows may be what happened so often, likeliest first."""
    if rows is not None:
        return [rows]
    named = [doing.table for doing in asked.doings]
    named += [m.table for m in asked.mentions if m.column is None and m.score >= 0.8]
    found = {each.name: each for each in [*named, *schema.tables]}
    return sorted(found.values(), key=lambda each: each not in named)


def _key(schema: Schema, base: Table, mention: Mention) -> Column | None:
    """The column of the base that tells the asked things apart, where one has several rows."""
    if mention.column is not None:
        own = base.column(mention.column.name)
        return own if own and own.kind in ("text", "number") and not own.unique else None
    for link in schema.links_from(base.name):
        if link.right_unique and link.right[0] == mention.table.name:
            return schema.column(*link.left)
    return None


def _things(mention: Mention, key: Column) -> str:
    return mention.table.many if mention.column is None else plural(label_of(key))
