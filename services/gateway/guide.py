"""What a source's owner tells of it beyond its schema: notes, and queries that are known to be
right. Pure.

    {"notes": {"public.orders": "one row per order line", "public.orders#state": "S = shipped"},
     "queries": [{"question": "How much was sold?", "sql": "SELECT sum(total) FROM public.orders"}]}

A note is about a relation, a blob or a glob, or with # about one of its columns.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from servicekit.status import InvalidField

COLUMN = "#"
MAX_NOTES, MAX_QUERIES = 2_000, 200
MAX_NOTE_CHARS, MAX_SQL_CHARS = 1_000, 10_000
# of these a prompt tells as many, some 1,000 tokens
MOST_QUERIES = 8
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Known:
    """A question and the query that answers it."""

    question: str
    sql: str


@dataclass(frozen=True)
class Guide:
    """`notes` by path, or by path#column."""

    notes: Mapping[str, str] = field(default_factory=dict)
    queries: tuple[Known, ...] = ()

    def about(self, path: str) -> str:
        """The notes on a path, those on a glob that it matches too."""
        return " ".join(
            text for of, text in self.notes.items() if COLUMN not in of and _fits(path, of)
        )

    def columns(self, path: str) -> dict[str, str]:
        """The notes on a path's columns."""
        split = ((*of.rpartition(COLUMN)[::2], text) for of, text in self.notes.items())
        return {column: text for of, column, text in split if of and _fits(path, of)}

    def fitting(self, question: str, most: int = MOST_QUERIES) -> Sequence[Known]:
        """At most so many queries: those whose question shares most words with this one."""
        asked = stems(question)
        ranked = sorted(self.queries, key=lambda known: -len(asked & stems(known.question)))
        return ranked[:most]

    def as_dict(self) -> dict[str, Any]:
        """As it is given and kept."""
        queries = [{"question": each.question, "sql": each.sql} for each in self.queries]
        return {"notes": dict(self.notes), "queries": queries}


def guide_of(given: Any) -> Guide:
    """Read it. Raises `InvalidField`."""
    if not isinstance(given, Mapping) or not {*given} <= {"notes", "queries"}:
        raise InvalidField("guide", "guide must be an object of notes and queries")
    notes, queries = given.get("notes", {}), given.get("queries", [])
    if not isinstance(notes, Mapping) or len(notes) > MAX_NOTES:
        raise InvalidField("guide.notes", f"guide.notes takes {MAX_NOTES:,} paths with a note each")
    for of, text in notes.items():
        _check(f"guide.notes.{of}", text, MAX_NOTE_CHARS)
    if not isinstance(queries, list) or len(queries) > MAX_QUERIES:
        raise InvalidField("guide.queries", f"guide.queries takes a list of {MAX_QUERIES} at most")
    return Guide(dict(notes), tuple(_known(each, n) for n, each in enumerate(queries)))


def _known(given: Any, number: int) -> Known:
    where = f"guide.queries[{number}]"
    if not isinstance(given, Mapping) or not {*given} <= {"question", "sql"}:
        raise InvalidField(where, f"{where} must be an object of question and sql")
    _check(f"{where}.question", given.get("question"), MAX_NOTE_CHARS)
    _check(f"{where}.sql", given.get("sql"), MAX_SQL_CHARS)
    return Known(given["question"], given["sql"])


def _check(field: str, text: Any, most: int) -> None:
    if not isinstance(text, str) or not 0 < len(text.strip()) <= most:
        raise InvalidField(field, f"{field} must be a text of 1 to {most:,} characters")


def _fits(path: str, of: str) -> bool:
    return path == of or (any(sign in of for sign in "*?") and fnmatchcase(path, of))


def stems(text: str) -> set[str]:
    """Words without the endings that most plurals have, short ones left out."""
    words = (word.lower() for word in _WORD.findall(text))
    return {word.removesuffix("s").removesuffix("e") for word in words if len(word) > 2}
