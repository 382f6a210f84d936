"""Where a question speaks of a column or of a table, and how surely."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from .schema import Column, Schema, Table
from .words import Token, akin, kindred, name_stems, stem

# Words that steer a question; they name a column only when the column is called exactly that.
_WORDS = (
    "which what who where when why how many much is are was were do does did have has had most "
    "least more less than top bottom best worst highest lowest total sum average mean median "
    "number count share rate percent percentage ratio by per for each every across over time "
    "trend show list give me compare between and or of in on the a an with without to from data "
    "table file row rows column columns first last change different distinct all it its there "
    "this that these those can could be been any not no group kind drive drives explain "
    "explains cause causes affect affects influence predict happened"
)
_STEERING = frozenset(stem(word) for word in _WORDS.split())


@dataclass(frozen=True)
class Mention:
    """Words start..end (exclusive) speak of a column, or of a whole table when column is None."""

    start: int
    end: int
    score: float
    table: Table
    column: Column | None = None


def find(words: Sequence[Token], schema: Schema) -> tuple[Mention, ...]:
    """Every mention of every column and table, surest first."""
    found: list[Mention] = []
    for table in schema.tables:
        spoken = _tables(words, table)
        found += spoken
        bonus = 0.3 if spoken else 0.0
        whole = {mention.start for mention in spoken if mention.score >= 2.0}
        for column in table.columns:
            every = _columns(words, table, column, bonus)
            # 'the most expensive stay' speaks of a row of Stays, not of the length of stay
            found += [replace(m, score=m.score - 0.6 * _vague(m, whole)) for m in every]
    return tuple(sorted(found, key=lambda mention: (-mention.score, mention.start)))


def _vague(mention: Mention, whole: Set[int]) -> bool:
    """Whether a part of a column's name is the name of its table as well."""
    column, one = mention.column, mention.end == mention.start + 1
    return bool(column and one and len(column.stems) > 1 and mention.start in whole)


def _tables(words: Sequence[Token], table: Table) -> list[Mention]:
    stems = set(table.stems)
    found = []
    for index, word in enumerate(words):
        if word.stem in stems and word.stem not in _STEERING:
            whole = len(stems) == 1 or word.stem == table.stems[-1]
            found.append(Mention(index, index + 1, 2.0 if whole else 1.0, table))
        elif word.stem not in _STEERING and any(akin(word.stem, one) for one in stems):
            found.append(Mention(index, index + 1, 0.8, table))
        if len(stems) > 1 and (end := _whole(words, index, table.stems)):
            found.append(Mention(index, end, 3.0, table))
        if len(stems) == 1 and _together(words, index) == table.stems[0]:
            found.append(Mention(index, index + 2, 2.5, table))
    return found


def _together(words: Sequence[Token], start: int) -> str:
    """The stem of two words written as one: 'page views' for pageviews."""
    pair = words[start : start + 2]
    return stem("".join(word.lower for word in pair)) if len(pair) == 2 else ""


def _columns(words: Sequence[Token], table: Table, column: Column, bonus: float) -> list[Mention]:
    stems = column.stems
    found: list[Mention] = []
    for start in range(len(words)):
        joined = _joined(words, start, column)
        end = joined or _timed(words, start, column) or _whole(words, start, stems)
        if end:
            steering = not joined and all(word.stem in _STEERING for word in words[start:end])
            score = 1.0 if steering else 2.0 + 0.5 * len(stems)
            # "order total": the word before names the table
            before = start > 0 and words[start - 1].stem in table.stems
            found.append(Mention(start, end, score + bonus + 0.5 * before, table, column))
            continue
        score = max(_partly(words[start].stem, stems), _earned(words[start].stem, column))
        score = _owned(words[start].stem, column, score)
        if score:
            before = start > 0 and words[start - 1].stem in table.stems
            found.append(Mention(start, start + 1, score + bonus + 0.5 * before, table, column))
    return found


_TIMES = frozenset(stem(word) for word in ("time", "duration", "long"))
_TIME_UNIT_WORDS = "minutes min mins hours hrs seconds sec days"
_TIME_UNITS = frozenset(stem(word) for word in _TIME_UNIT_WORDS.split())


def _timed(words: Sequence[Token], start: int, column: Column) -> int:
    """The end of 'finish time' for finish_minutes; 0 where a column is no such time."""
    pair = words[start : start + 2]
    if column.kind != "number" or len(pair) < 2:
        return 0
    stems = name_stems(column.name, unit=True)
    said = [word.stem for word in pair]
    named = said[0] in stems if said[1] in _TIMES else said[0] in _TIMES and said[1] in stems
    return start + 2 if named and _TIME_UNITS & set(stems) else 0


def _joined(words: Sequence[Token], start: int, column: Column) -> int:
    """The end of words that make up a name when written together: 'no show', 'web site'."""
    name = "".join(char for char in column.name.lower() if char.isalnum())
    for size in (2, 3):
        said = "".join(word.lower for word in words[start : start + size])
        if start + size <= len(words) and said in (name, f"{name}s"):
            return start + size
    return 0


def _whole(words: Sequence[Token], start: int, stems: Sequence[str]) -> int:
    """The end of a window from start that holds exactly these stems, in any order; 0 if none."""
    for extra in (0, 1):
        window = words[start : start + len(stems) + extra]
        inside = [
            word.stem for word in window if not extra or word.lower not in ("of", "the", "at")
        ]
        if len(window) == len(stems) + extra and sorted(inside) == sorted(stems):
            return start + len(window)
    return 0


def _owned(word: str, column: Column, score: float) -> float:
    """In 'runner.born' the first part is whose it is; in 'runner.name' it is what is named."""
    owner, _, own = column.name.rpartition(".")
    if not owner or word not in name_stems(owner) or word in name_stems(own):
        return score
    return 1.6 if own.lower() in ("name", "id", "title") else min(score, 0.3)


def _earned(word: str, column: Column) -> float:
    """'Revenue' may be any amount whose heading gives a currency: 'Bill (£)'."""
    return 0.7 if column.money and akin(word, stem("revenue")) else 0.0


def _partly(word: str, stems: Sequence[str]) -> float:
    if word in _STEERING or len(word) < 3:
        return 0.0
    if word == stems[-1]:
        return 1.6
    if word in stems:
        return 1.2
    if akin(word, stems[-1]):
        return 1.3 if len(stems) == 1 else 0.9
    if any(akin(word, one) for one in stems):
        return 0.6
    return 0.6 if any(kindred(word, one) for one in stems) else 0.0


def steering(word: Token) -> bool:
    """Whether a word steers the question rather than naming something in the data."""
    return word.stem in _STEERING
