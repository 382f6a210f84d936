"""What a question may want measured: columns, counts, derived times, and shares of rows."""

from collections.abc import Iterator, Sequence

from . import ages, durations, formulas, shares, vocabulary
from .asking import Asked, speaks_of
from .doings import Doing
from .mentions import Mention
from .schema import Column, Schema, Table
from .terms import Candidate, Measure
from .words import any_akin, plural, singular, stem


def column_measure(column: Column) -> Measure:
    """The measure that a numeric or yes/no column is."""
    label = column.label
    if label.lower() in vocabulary.VAGUE:
        label = f"{singular(column.table.replace('_', ' ').lower())} {label}"
    return Measure(
        "column",
        column.table,
        (column.name,),
        label,
        additive=column.additive and not column.binary,
        binary=column.binary,
    )


def row_count(table: Table) -> Measure:
    """How many rows the table has, called by what its rows are."""
    return Measure("rows", table.name, (), table.many)


def key_count(column: Column, label: str) -> Measure:
    """How many different values a column has."""
    return Measure("unique", column.table, (column.name,), label, additive=False)


def candidates(asked: Asked, schema: Schema) -> list[Candidate]:
    """Every measure the question may mean, surest first."""
    found = [
        *_columns(asked),
        *_derived(asked, schema),
        *shares.candidates(asked, schema),
        *_counts(asked, schema),
        *_done(asked, schema),
    ]
    return sorted(found, key=lambda candidate: -candidate.score)


# -- columns -------------------------------------------------------------------------------------


def _columns(asked: Asked) -> Iterator[Candidate]:
    for mention in asked.mentions:
        column = mention.column
        free = not set(range(mention.start, mention.end)) & asked.used
        if column is None or not free:
            continue
        if column.measure or column.binary:
            score = (
                mention.score
                - strange(asked, column)
                - 0.4 * (asked.count and not asked.aggregate)
                - 0.6 * (column.binary and asked.aggregate is not None and not asked.rate)
            )
            yield Candidate(
                score + 0.6 * (asked.rate and column.binary), column_measure(column), mention.start
            )


def strange(asked: Asked, column: Column) -> float:
    """Money that goes out is not meant by 'sales' unless the question says so."""
    stems = (*column.stems, *_table_stems(column))
    out = [word for word in vocabulary.OUTGOING if any(one == stem(word) for one in stems)]
    return 0.6 if out and not any(speaks_of(asked, word) for word in out) else 0.0


def _table_stems(column: Column) -> tuple[str, ...]:
    return tuple(stem(part) for part in column.table.replace("-", "_").split("_"))


# -- derived -------------------------------------------------------------------------------------


def _derived(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    yield from formulas.candidates(asked)
    yield from ages.candidates(asked, schema)
    for table in schema.tables:
        revenue = product(table)
        if revenue and speaks_of(asked, "revenue"):
            yield Candidate(
                1.5 if speaks_of_exactly(asked, "revenue", "sales", "turnover") else 1.0, revenue
            )
        late = lateness(table)
        if (late and speaks_of(asked, *vocabulary.LATE, "ontime")) or (late and _on_time(asked)):
            much = asked.aggregate in ("mean", "median", "max") and not asked.rate
            # 'how many were late' is asked of the lateness, not of the rows
            yield Candidate(7.0 if asked.count else 2.2, days_late(late) if much else late)
        yield from durations.candidates(asked, table)


def _on_time(asked: Asked) -> bool:
    return "on time" in asked.text.lower() or "on-time" in asked.text.lower()


def speaks_of_exactly(asked: Asked, *plain: str) -> bool:
    """Whether one of these very words (in any form) stands in the question."""
    wanted = {stem(word) for word in plain}
    return any(word.stem in wanted for word in asked.words)


def product(table: Table) -> Measure | None:
    """Revenue as quantity × unit price, less a discount given as a fraction."""
    quantity = _one(table, ("quantity", "qty", "units", "pieces"), exclude=())
    price = _one(table, ("price",), exclude=("quantity", "total"))
    if quantity is None or price is None or quantity == price:
        return None
    discount = _one(table, ("discount",), exclude=())
    fraction = (
        discount is not None
        and discount.low is not None
        and 0 <= discount.low <= discount.high <= 1
    )
    columns = (quantity.name, price.name, *((discount.name,) if discount and fraction else ()))
    return Measure("product", table.name, columns, "revenue")


def _one(table: Table, words: Sequence[str], *, exclude: Sequence[str]) -> Column | None:
    wanted, unwanted = {stem(word) for word in words}, {stem(word) for word in exclude}
    for column in table.columns:
        if (
            column.kind == "number"
            and wanted & set(column.stems)
            and not unwanted & set(column.stems)
        ):
            return column
    return None


def lateness(table: Table) -> Measure | None:
    """Delivered after promised, where the table has both dates."""
    pair = _pair(table, vocabulary.PROMISED, vocabulary.DONE)
    if pair is None:
        return None
    promised, done = pair
    # A delivery is promised for a day; a reply may be due by the hour.
    by_day = any_akin((*promised.stems, *done.stems), ("delivered", "shipped", "arrived"))
    day_grain = by_day or not promised.facts.get("clock")
    return Measure(
        "late", table.name, (promised.name, done.name), "late", additive=False, day_grain=day_grain
    )


def days_late(late: Measure) -> Measure:
    """The same two dates as a number of days."""
    return Measure(
        "days", late.table, late.columns, "days late", additive=False, day_grain=late.day_grain
    )


def _pair(table: Table, first: Sequence[str], last: Sequence[str]) -> tuple[Column, Column] | None:
    def named(words: Sequence[str]) -> list[Column]:
        stems = [stem(word) for word in words]
        found = [column for column in table.dates if set(stems) & set(column.stems)]
        return sorted(found, key=lambda c: min(stems.index(s) for s in c.stems if s in stems))

    starts, ends = named(first), named(last)
    return next(((a, b) for b in ends for a in starts if a != b), None)


# -- counts --------------------------------------------------------------------------------------


def _counts(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    spoken = _counted_mentions(asked)
    for mention, score in spoken:
        yield from _count_of(asked, schema, mention, score)


def _done(asked: Asked, schema: Schema) -> Iterator[Candidate]:
    """What was done is counted by its rows: 'books borrowed' by loans, 'admissions' by stays."""
    for doing in asked.doings:
        if doing.index in asked.used:
            continue
        row = row_count(doing.table)
        # 'were most patients admitted' counts admissions, not patients
        score = 1.3 + 0.7 * doing.passive if asked.superlative else 0.9
        yield Candidate(score, row, doing.index)
        done_to = _done_to(asked, schema, doing) if asked.count else None
        if done_to is not None:
            # 'how many members borrowed' asks for members, 'how many books were borrowed' for loans
            plain = _plural(done_to)
            yield Candidate(6.5, row if doing.passive else key_count(done_to, plain), doing.index)


def _done_to(asked: Asked, schema: Schema, doing: Doing) -> Column | None:
    """The key by which the rows of a doing point to what 'how many' asks for."""
    spoken = {m.table.name for m, score in _counted_mentions(asked) if not m.column and score > 4}
    for link in schema.links_from(doing.table.name):
        if link.right_unique and link.right[0] in spoken:
            return schema.column(*link.left)
    return None


def _counted_mentions(asked: Asked) -> Iterator[tuple[Mention, float]]:
    """Tables and columns whose rows or values may be what is counted."""
    after = _after_count(asked)
    for mention in asked.mentions:
        if set(range(mention.start, mention.end)) & asked.used:
            continue
        near = after is not None and after <= mention.start <= after + 2
        if asked.count and near:
            rows = 1.0 if mention.column is None and mention.score >= 2.0 else 0.0
            yield mention, mention.score + 2.0 + rows - 0.3 * (mention.start - (after or 0))
        elif mention.column is None and mention.score >= 0.8:
            ranked = ("by",) if asked.superlative else ()
            most = mention.start and asked.words[mention.start - 1].lower in (
                *ranked,
                "most",
                "fewest",
                "least",
                "more",
            )
            yield mention, (1.6 if most else 0.7) + 0.1 * mention.score
        elif mention.column is not None and _tells_apart(mention.column) and asked.superlative:
            most = asked.words[mention.start - 1].lower in ("most", "fewest", "least")
            yield mention, (1.6 if most and mention.start else 0.5) + 0.1 * mention.score


def counted_things(asked: Asked) -> list[Mention]:
    """What 'how many' asks for, surest first."""
    found = [(score, mention) for mention, score in _counted_mentions(asked) if score > 2.0]
    return [mention for _, mention in sorted(found, key=lambda one: -one[0])]


def _tells_apart(column: Column) -> bool:
    """Whether its values are counted rather than compared: keys, and names of many."""
    return column.key or (column.kind == "text" and not column.dimension)


def _after_count(asked: Asked) -> int | None:
    for index, word in enumerate(asked.words[:-1]):
        nearby = [w.lower for w in asked.words[index : index + 2]]
        if nearby in (["how", "many"], ["number", "of"]) or word.lower == "count":
            return index + (2 if nearby[0] != "count" or nearby[1] == "of" else 1)
    return None


def _count_of(asked: Asked, schema: Schema, mention: Mention, score: float) -> Iterator[Candidate]:
    table, column = mention.table, mention.column
    if column is None:
        if asked.distinct and asked.count and score < 2.5:
            score -= 0.5
        yield Candidate(score + 0.2, row_count(table), mention.start)
    elif column.kind == "text" or column.key:
        plain = _plural(column)
        if not column.unique or asked.distinct:
            yield Candidate(
                score - 0.2 + 0.8 * asked.distinct, key_count(column, plain), mention.start
            )
        elif column.unique:
            yield Candidate(score, row_count(table), mention.start)


def _plural(column: Column) -> str:
    bare = column.label.replace(".", " ")
    for ending in (" id", " key", " code", " name", "_id"):
        bare = bare.removesuffix(ending) or bare
    return plural(bare.lower())


def usual(schema: Schema, table: Table | None = None) -> Candidate | None:
    """What one measures when the question does not say: money, else quantity, else any amount."""
    best: Candidate | None = None
    for column in schema.columns:
        if (
            (table is not None and column.table != table.name)
            or not column.measure
            or column.binary
        ):
            continue
        score = _usual_score(column)
        if best is None or score > best.score:
            best = Candidate(score, column_measure(column))
    for one in schema.tables if table is None else (table,):
        made = product(one)
        if made and (best is None or best.score < 0.35):
            best = Candidate(0.35, made)
    return best


def _usual_score(column: Column) -> float:
    money = any_akin(column.stems[-1:], vocabulary.MONEY) and column.additive
    out = any(
        one == stem(word)
        for one in (*column.stems, *_table_stems(column))
        for word in vocabulary.OUTGOING
    )
    if money and not out:
        return 0.4
    if column.money and not out:
        return 0.35
    if any_akin(column.stems, ("quantity", "sessions", "count", "salary")):
        return 0.3
    return 0.2 if column.additive and not out else 0.1
