"""Columns that folders bring: `year=2026/month=11/…`, as Hive and Spark write them. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import unquote

import pyarrow as pa

_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def keys_of(name: str) -> dict[str, str | None]:
    """What the folders of a file say, in order."""
    found: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        key, marked, value = folder.partition("=")
        if marked and key:
            found[unquote(key)] = None if value == _NULL else unquote(value)
    return found


def columns_of(names: Sequence[str], taken: Sequence[str]) -> pa.Schema:
    """The keys that all files have, with types that hold their values; not those that the files
    themselves have as columns (`taken`)."""
    found = [keys_of(name) for name in names]
    common = [key for key in (found[0] if found else ()) if all(key in each for each in found)]
    return pa.schema(
        [(key, _kind([each[key] for each in found])) for key in common if key not in taken]
    )


def _kind(values: Sequence[str | None]) -> pa.DataType:
    there = [value for value in values if value is not None]
    if there and all(_WHOLE.fullmatch(value) for value in there):
        return pa.int64()
    if there and all(_date(value) is not None for value in there):
        return pa.date32()
    return pa.string()


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-11-23") else None
    except ValueError:
        return None


def with_columns(
    batch: pa.RecordBatch, name: str, columns: Mapping[str, pa.DataType]
) -> pa.RecordBatch:
    """The same rows, with what the file's folders say in the columns that are theirs."""
    said = keys_of(name)
    for at, field in enumerate(batch.schema):
        if field.name in columns:
            value = _value(said.get(field.name), field.type)
            filled = pa.repeat(pa.scalar(value, field.type), batch.num_rows)
            batch = batch.set_column(at, field, filled)
    return batch


def _value(text: str | None, kind: pa.DataType) -> object:
    if text is None:
        return None
    if pa.types.is_integer(kind):
        return int(text)
    return _date(text) if pa.types.is_date(kind) else text
