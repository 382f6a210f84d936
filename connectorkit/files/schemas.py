"""Columns of several files as one table's. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from connectorkit.files.errors import Unreadable
from servicekit.status import InvalidField


@dataclass(frozen=True)
class Written:
    """How a CSV file is to be read: its encoding, and the size of blocks that holds each line. The
    delimiter is told, and looked for again."""

    encoding: str
    block_bytes: int
    delimiter: str = ""


@dataclass(frozen=True)
class Found:
    """What one file's columns are. `loose`: they were read off text, which any column can be.
    `written`: of CSV, how it is to be read. `told`: more of it, for people."""

    name: str
    schema: pa.Schema
    loose: bool = False
    rows: int | None = None
    written: Written | None = None
    told: Mapping[str, str] = field(default_factory=dict)


def unified(found: Sequence[Found]) -> pa.Schema:
    """The columns of all together, in the order of their first appearance; a type that holds what
    all bring. Raises `Unreadable`."""
    names = dict.fromkeys(name for each in found for name in each.schema.names)
    return pa.schema([_field(name, found) for name in names])


def _field(name: str, found: Sequence[Found]) -> pa.Field:
    having = [each for each in found if name in each.schema.names]
    # the first that has it, and then those that differ
    different = {str(each.schema.field(name).type): each for each in reversed(having)}
    kinds = [each.schema.field(name).remove_metadata() for each in different.values()]
    nullable = len(having) < len(found) or any(each.schema.field(name).nullable for each in having)
    return pa.field(name, _kind(name, kinds, list(different.values())), nullable)


def _kind(name: str, fields: Sequence[pa.Field], found: Sequence[Found]) -> pa.DataType:
    try:
        alone = [pa.schema([field.with_nullable(True)]) for field in fields]
        return pa.unify_schemas(alone, promote_options="permissive").field(0).type
    except pa.ArrowException as exc:
        if all(each.loose for each in found):
            return pa.string()
        one, other = found[-1], found[0]
        raise Unreadable(
            f"column {name!r} is {one.schema.field(name).type} in {one.name} and "
            f"{other.schema.field(name).type} in {other.name}: they do not make one table",
            remedy="Choose files with the same columns, or fetch them as they are (raw).",
            path=other.name,
            format="table",
        ) from exc


def selected(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The schema of some columns, in their order. Raises `InvalidField`."""
    if not columns:
        return schema
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise InvalidField("columns", f"there is no column {missing[0]!r}")
    return pa.schema([schema.field(name) for name in dict.fromkeys(columns)])


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in the columns of the whole table: what it lacks is null. Raises ArrowException."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    if not columns:
        return batch.select([])
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def distinct(names: Sequence[str]) -> list[str]:
    """Names for columns: "" becomes column_N, a second "id" becomes id_2."""
    taken = set(names)
    return list(_distinct(names, taken, {}))


def _distinct(names: Sequence[str], taken: set[str], seen: dict[str, int]) -> Iterator[str]:
    for number, name in enumerate(names, 1):
        wanted = name or f"column_{number}"
        if name and name not in seen:
            seen[name] = 1
            yield name
            continue
        count = seen.get(wanted, 0)
        while wanted in taken or wanted in seen:
            count = max(count, 1) + 1
            wanted = f"{name or f'column_{number}'}_{count}"
        seen[wanted] = 1
        yield wanted
