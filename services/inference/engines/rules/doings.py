"""Words for what the rows of a table are the record of: 'borrowed' for loans.borrowed_on."""

from collections.abc import Sequence
from dataclasses import dataclass

from .schema import Schema, Table
from .words import Token, stem

# what a date column's name says beside the doing itself
_WHEN_WORDS = "date time day moment timestamp first last start end"
_WHEN = frozenset(stem(word) for word in _WHEN_WORDS.split())
_PASSIVE_WORDS = "were was been be being are is got get gets"
_DENIED = frozenset(("not", "never", "didn't", "haven't", "hasn't", "weren't", "wasn't", "aren't"))
_PASSIVE = frozenset(_PASSIVE_WORDS.split())


@dataclass(frozen=True)
class Doing:
    """A word of the question that names a date of a table, and so speaks of its rows.

    `passive` in 'books were borrowed', which counts loans; 'members borrowed' counts members.
    `denied` in 'students not enrolled'.
    """

    index: int
    table: Table
    passive: bool
    denied: bool


def find(words: Sequence[Token], schema: Schema) -> tuple[Doing, ...]:
    """Every doing of the question, in the order of its words."""
    found = []
    for table in schema.tables:
        leads = {one for column in table.dates for one in column.stems[:1] if one not in _WHEN}
        for index, word in enumerate(words):
            if word.stem in leads and word.stem not in _WHEN:
                passive = any(w.lower in _PASSIVE for w in words[max(index - 3, 0) : index])
                denied = any(w.lower in _DENIED for w in words[max(index - 2, 0) : index])
                found.append(Doing(index, table, passive, denied))
    return tuple(sorted(found, key=lambda doing: doing.index))
