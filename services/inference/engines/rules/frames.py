"""One flat table for an analysis: which tables to join by what, and the Python that does it."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from . import durations
from .loading import load, parse, variable
from .schema import Link, Schema
from .terms import Condition, Field, Measure

_FAN_OUT = 5.0  # a join that multiplies rows is taken only when nothing else reaches the column


@dataclass(frozen=True)
class Path:
    """A way from one table to another; `fans_out` when a row may meet several."""

    links: tuple[Link, ...]
    cost: float

    @property
    def fans_out(self) -> bool:
        return any(not link.right_unique for link in self.links)


def path(schema: Schema, start: str, goal: str) -> Path | None:
    """The cheapest way to join `goal` to `start`; None when the tables do not hang together."""
    queue: list[tuple[float, int, str, tuple[Link, ...]]] = [(0.0, 0, start, ())]
    seen: set[str] = set()
    count = 0
    while queue:
        cost, _, table, links = heapq.heappop(queue)
        if table == goal:
            return Path(links, cost)
        if table in seen:
            continue
        seen.add(table)
        for link in schema.links_from(table):
            count += 1
            step = _cost(link)
            heapq.heappush(queue, (cost + step, count, link.right[0], (*links, link)))
    return None


def _cost(link: Link) -> float:
    return 1.0 + (1.0 - link.left_found) + (0.0 if link.right_unique else _FAN_OUT)


@dataclass(frozen=True)
class Frame:
    """The flat table `data`: rows of `base`, with what the other tables know of each row."""

    schema: Schema
    base: str
    fields: tuple[Field, ...]
    measures: tuple[Measure, ...] = ()
    conditions: tuple[Condition, ...] = ()
    careful: bool = False

    # -- what is needed -------------------------------------------------------------------

    def wanted(self) -> tuple[Field, ...]:
        """Columns that must stand in `data`, each once."""
        own = [Field(m.table, c) for m in self.measures if _kept(m) for c in m.columns]
        own += [end for m in self.measures if m.child and m.kind in _AGES for end in _ends(m)]
        asked = [*own, *self.fields, *(condition.field for condition in self.conditions)]
        return tuple(dict.fromkeys(asked))

    def links(self) -> tuple[Link, ...]:
        """The joins in the order they are made, from the base outwards."""
        goals = {field.table for field in self.wanted()} | {m.table for m in self.measures}
        found: dict[str, Link] = {}
        for goal in sorted(goals - {self.base}):
            way = path(self.schema, self.base, goal)
            if way is None:
                raise LookupError(f"{goal} cannot be joined to {self.base}")
            for link in way.links:
                found.setdefault(link.right[0], link)
        return tuple(_ordered(self.base, found))

    @cached_property
    def names(self) -> dict[Field, str]:
        """Column names in `data`; the table goes in front where two would clash."""
        found = {Field(self.base, column): column for column in self._columns(self.base)}
        found |= {field: field.column for field in self._made(self.base)}
        for link in self.links():
            table = link.right[0]
            found[Field(*link.right)] = found[Field(*link.left)]
            for field in [*self._fields(table), *self._made(table)]:
                if field not in found:
                    taken = field.column in found.values()
                    found[field] = f"{table}_{field.column}" if taken else field.column
        return found

    def name(self, field: Field) -> str:
        """The name of a column in `data`."""
        return self.names[field]

    def measure_name(self, measure: Measure) -> str:
        """The name of a measure's column in `data`."""
        return self.names[self._column_of(measure)]

    def _column_of(self, measure: Measure) -> Field:
        if measure.kind in ("column", "unique"):
            return Field(measure.table, measure.columns[0])
        name = measure.label.replace(" ", "_").replace("-", "_")
        taken = {column.name for column in self.schema.table(measure.table).columns}
        return Field(measure.table, f"{name}_" if name in taken else name)

    def _made(self, table: str) -> list[Field]:
        made = [m for m in self.measures if m.table == table and m.kind != "rows"]
        return [self._column_of(measure) for measure in made if not _kept(measure)]

    def _fields(self, table: str) -> list[Field]:
        onward = [Field(*link.left) for link in self.links() if link.left[0] == table]
        return [*(field for field in self.wanted() if field.table == table), *onward]

    @property
    def fans_out(self) -> bool:
        return any(not link.right_unique for link in self.links())

    @property
    def tables(self) -> tuple[str, ...]:
        children = [m.child.table for m in self.measures if m.child]
        joined = [link.right[0] for link in self.links()]
        return tuple(dict.fromkeys([self.base, *joined, *children]))

    # -- the program ----------------------------------------------------------------------

    def lines(self) -> list[str]:
        """Python that builds `data`."""
        return [*self._load(), *self._derive(), *self._join(), *self._filter()]

    def variable(self, table: str) -> str:
        return variable(self.schema.table(table), self.schema)

    def _columns(self, table: str) -> list[str]:
        wanted = [field.column for field in self.wanted() if field.table == table]
        for measure in self.measures:
            wanted += measure.columns if measure.table == table else ()
            if measure.child and measure.child.table == table:
                wanted.append(measure.child.column)
        for link in self.links():
            wanted += [end[1] for end in (link.left, link.right) if end[0] == table]
        order = [column.name for column in self.schema.table(table).columns]
        kept = sorted(set(wanted), key=order.index)
        return kept or order[:1]

    def _load(self) -> list[str]:
        lines: list[str] = []
        for name in self.tables:
            table = self.schema.table(name)
            columns = self._columns(name)
            lines += load(table, columns, self.schema, careful=self.careful)
            found = [column for column in table.columns if column.name in columns]
            if table.kind not in ("csv", "parquet") or self.careful:
                lines.append(
                    f"{self.variable(name)}.columns = {self.variable(name)}.columns.map(str)"
                )
            lines += parse(table, found, self.schema, careful=self.careful)
        return lines

    def _derive(self) -> list[str]:
        lines: list[str] = []
        for measure in self.measures:
            lines += _derived(measure, self._column_of(measure).column, self)
        return [line for line in lines if line]

    def _join(self) -> list[str]:
        lines = ["", f"data = {self.variable(self.base)}"]
        for link in self.links():
            lines += self._merge(link)
        for measure in self.measures:
            if measure.kind in _AGES and measure.child:
                lines += self._aged(measure, measure.child)
        return lines

    def _aged(self, measure: Measure, birth: Field) -> list[str]:
        """Ages come after the joins: a date of birth may stand in another table."""
        *limit, last = [*measure.value.split(), ""] if measure.columns else measure.value.split()
        end = f"pd.Timestamp({last!r})"
        if measure.columns:
            end = f"data[{self.name(Field(measure.table, measure.columns[0]))!r}]"
        born, target = f"data[{self.name(birth)!r}]", f"data[{self.measure_name(measure)!r}]"
        lines = ["", f"# {measure.label}: whole years since {birth.column}"]
        lines.append(f"{target} = ({end} - {born}).dt.days // 365.25")
        if limit:
            held = f"({target} {' '.join(limit)}).astype(float)"
            lines.append(f"{target} = {held}.where({target}.notna())")
        return lines

    def _merge(self, link: Link) -> list[str]:
        table, right, left = link.right[0], link.right[1], self.names[Field(*link.left)]
        fields = dict.fromkeys([Field(*link.right), *self._fields(table), *self._made(table)])
        new = {field.column: self.names[field] for field in fields}
        renamed = {old: name for old, name in new.items() if old != name}
        unique = f".drop_duplicates({right!r})" if link.right_unique else ".drop_duplicates()"
        rename = f".rename(columns={renamed!r})" if renamed else ""
        brought = ", ".join(name for name in new.values() if name != left) or "what matches"
        return [
            f"# {brought}: from {table}, where {left} is its {right}",
            *self._cast(link),
            f"data = data.merge({self.variable(table)}[{list(new)!r}]{unique}{rename},",
            f'{" " * 18}on={left!r}, how="left")',
        ]

    def _cast(self, link: Link) -> list[str]:
        left, right = self.schema.column(*link.left), self.schema.column(*link.right)
        if left.kind == right.kind and not self.careful:
            return []
        tidy = '.astype(str).str.replace(r"\\.0$", "", regex=True)'
        key, other = self.names[Field(*link.left)], self.variable(link.right[0])
        return [
            f"data[{key!r}] = data[{key!r}]{tidy}",
            f"{other}[{right.name!r}] = {other}[{right.name!r}]{tidy}",
        ]

    def _filter(self) -> list[str]:
        lines: list[str] = []
        for condition in self.conditions:
            cell = f"data[{self.name(condition.field)!r}]"
            lines += [f"# only {condition.text}", f"data = data[{_test(condition, cell)}]"]
        return ["", *lines] if lines else []


_AGES = ("age", "aged")


def _ends(measure: Measure) -> list[Field]:
    """The date of birth, and the date at which the age is told."""
    birth = [measure.child] if measure.child else []
    return [*(Field(measure.table, column) for column in measure.columns), *birth]


def _kept(measure: Measure) -> bool:
    return measure.kind in ("column", "unique")


def _ordered(base: str, found: dict[str, Link]) -> Iterable[Link]:
    reached, waiting = {base}, dict(found)
    while waiting:
        ready = [table for table, link in waiting.items() if link.left[0] in reached]
        if not ready:
            return
        for table in ready:
            yield waiting.pop(table)
            reached.add(table)


def _test(condition: Condition, cell: str) -> str:
    if condition.kind == "period":
        start, end = condition.values
        tests = [f"({cell} >= {start!r})"] if start else []
        tests += [f"({cell} < {end!r})"] if end else []
        return " & ".join(tests)
    if condition.kind == "compare":
        operator, number = condition.values
        return f"{cell} {operator} {number}"
    if condition.kind in ("between", "beyond"):
        low, high = condition.values
        if condition.kind == "between":
            return f"({cell} >= {low}) & ({cell} <= {high})"
        return f"({cell} < {low}) | ({cell} > {high})"
    if condition.kind == "weekend":
        return f"{cell}.dt.dayofweek >= 5"
    if condition.kind == "flag":
        return f"{cell} == {condition.values[0]}"
    if condition.kind in ("empty", "filled"):
        return f"{cell}.isna()" if condition.kind == "empty" else f"{cell}.notna()"
    if condition.kind == "out":
        return f"{cell}.notna() & ~{cell}.astype(str).str.strip().isin({list(condition.values)!r})"
    if len(condition.values) == 1:
        return f"{cell}.astype(str).str.strip() == {condition.values[0]!r}"
    return f"{cell}.astype(str).str.strip().isin({list(condition.values)!r})"


def _derived(measure: Measure, name: str, frame: Frame) -> list[str]:
    table = frame.variable(measure.table)
    cell = [f"{table}[{column!r}]" for column in measure.columns]
    target = f"{table}[{name!r}]"
    if measure.kind == "product":
        rest = f" * (1 - {cell[2]})" if len(cell) > 2 else ""
        return ["", f"{target} = {cell[0]} * {cell[1]}{rest}"]
    if measure.kind in ("difference", "quotient"):
        return [
            "",
            f"{target} = {cell[0]} {'-' if measure.kind == 'difference' else '/'} {cell[1]}",
        ]
    if measure.kind in ("filled", "blank"):
        known = "notna" if measure.kind == "filled" else "isna"
        return ["", f"{target} = {cell[0]}.{known}().astype(float)"]
    if measure.kind == "meets":
        return [
            "",
            f"{target} = ({cell[0]} {measure.value}).astype(float).where({cell[0]}.notna())",
        ]
    if measure.kind == "within":
        return _within(measure, cell, target)
    if measure.kind in ("days", "late"):
        return _between(measure, cell, target)
    if measure.kind in ("equals", "differs"):
        sign = "==" if measure.kind == "equals" else "!="
        held = f"{cell[0]}.astype(str).str.strip()"
        return ["", f"{target} = ({held} {sign} {measure.value!r}).astype(float)"]
    if measure.child and measure.kind in ("exists", "absent"):
        child = f"{frame.variable(measure.child.table)}[{measure.child.column!r}]"
        tidy = ".astype(str)" if frame.careful else ""
        not_ = "~" if measure.kind == "absent" else ""
        verb = "has no row" if measure.kind == "absent" else "has a row"
        return [
            "",
            f"# {measure.label}: {measure.child.table} {verb} with the same {measure.columns[0]}",
            f"{target} = ({not_}{cell[0]}{tidy}.isin({child}{tidy})).astype(float)",
        ]
    return []


def _between(measure: Measure, cell: Sequence[str], target: str) -> list[str]:
    start, end = cell
    day = ".dt.normalize()" if measure.day_grain else ""
    if measure.kind == "days":
        seconds = durations.SECONDS[measure.value or "days"]
        return ["", f"{target} = ({end}{day} - {start}{day}).dt.total_seconds() / {seconds:_}"]
    return [
        "",
        f"# {measure.label}: {measure.columns[1]} after {measure.columns[0]}; "
        f"unknown where one is missing",
        f"{target} = ({end}{day} > {start}{day}).astype(float)",
        f"{target} = {target}.where({end}.notna() & {start}.notna())",
    ]


def _within(measure: Measure, cell: Sequence[str], target: str) -> list[str]:
    start, end = cell
    operator, number, unit = measure.value.split()
    lasted = f"({end} - {start}).dt.total_seconds()"
    return [
        "",
        f"# {measure.label}; unknown where one is missing",
        f"{target} = ({lasted} {operator} {number} * {durations.SECONDS[unit]:_}).astype(float)",
        f"{target} = {target}.where({end}.notna() & {start}.notna())",
    ]


def reach(schema: Schema, base: str, tables: Iterable[str]) -> float | None:
    """What joining these tables to the base costs in all; None when one cannot be reached."""
    total = 0.0
    for table in tables:
        way = path(schema, base, table)
        if way is None:
            return None
        total += way.cost
    return total


def described(frame: Frame) -> str:
    """The joins in words, for the answer's notes."""
    steps = [f"{link.right[0]} by {link.right[1]}" for link in frame.links()]
    return f"{frame.base}, joined with {' and '.join(steps)}" if steps else frame.base
