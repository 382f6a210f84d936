"""What psycopg and ADBC make of a value, and what the connector's would be in their words."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from tests.pg_connector.typed import raw
from tests.pg_connector.types_table import Kind, Unfit, Value

TEXT, BINARY, ADBC = "psycopg", "psycopg, binary", "ADBC"
PEERS = (TEXT, BINARY, ADBC)
REFUSED, SENT = "refused", "the bytes that were sent"
_EPOCH = datetime(1970, 1, 1)


class Peers:
    """One connection of each. An outcome is a value as Python writes it, for ADBC behind its type
    in Arrow; or REFUSED, or SENT."""

    def __init__(self, dsn: str) -> None:
        self._psycopg = psycopg.connect(dsn, autocommit=True)
        self._adbc = dbapi.connect(dsn, autocommit=True)
        self._psycopg.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        self._psycopg.close()
        self._adbc.close()

    def outcome(self, peer: str, sql: str) -> str:
        return self._of_adbc(sql) if peer == ADBC else self._of_psycopg(sql, peer == BINARY)

    def _of_psycopg(self, sql: str, binary: bool) -> str:
        try:
            row = psycopg.Cursor(self._psycopg).execute(sql, binary=binary).fetchone()
        except (psycopg.Error, UnicodeDecodeError):
            return REFUSED
        assert row is not None
        return SENT if _has_bytes(row[0]) and "::bytea" not in sql else repr(row[0])

    def _of_adbc(self, sql: str) -> str:
        with self._adbc.cursor() as cursor:
            try:
                cursor.execute(sql)
                column = cursor.fetch_arrow_table().column(0)
            except dbapi.Error:
                return REFUSED
            return _adbc(column)


def _has_bytes(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_bytes, value)))


def _adbc(column: pa.ChunkedArray) -> str:
    kind, column = _plain(column)
    if not column[0].is_valid:
        return "None"
    try:
        (value,) = raw(column)
    except UnicodeDecodeError:
        return REFUSED
    return SENT if _has_bytes(value) and kind.startswith(_OPAQUE) else f"{kind}: {value!r}"


# so the driver marks what it does not decode
_OPAQUE = ("opaque", "list<opaque>")


def _plain(column: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    """The name of its type, and its values without extension types."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        stored = [chunk.storage for chunk in column.chunks]
        name = str(kind.extension_name).removeprefix("arrow.")
        return name, pa.chunked_array(stored, kind.storage_type)
    if pa.types.is_list(kind) and isinstance(kind.value_type, pa.BaseExtensionType):
        name, inner = _plain(pa.chunked_array([column.chunk(0).flatten()]))
        return f"list<{name}>", pa.chunked_array([_listed(column.chunk(0), inner)])
    return str(kind), column


def _listed(lists: pa.ListArray, values: pa.ChunkedArray) -> pa.ListArray:
    offsets = pa.array([None if not one.is_valid else 0 for one in lists] + [len(values)])
    return pa.ListArray.from_arrays(offsets.cast(pa.int32()), values.combine_chunks())


def ours(peer: str, kind: Kind, value: Value) -> str:
    """What the peer gives where it does as the connector does."""
    if isinstance(value.arrow, Unfit):
        return REFUSED
    if value.arrow is None:
        return "None"
    if peer == ADBC:
        return f"{kind.arrow}: {value.arrow!r}"
    try:
        return repr(_python(kind.arrow, value.arrow))
    except OverflowError:
        return f"what Python does not hold: {value.arrow}"


def _python(kind: pa.DataType, value: Any) -> Any:
    if pa.types.is_list(kind):
        return [None if each is None else _python(kind.value_type, each) for each in value]
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_date(kind):
        return date(1970, 1, 1) + timedelta(value)
    if pa.types.is_timestamp(kind):
        return (_EPOCH + timedelta(microseconds=value)).replace(tzinfo=UTC if kind.tz else None)
    if pa.types.is_time(kind):
        return (_EPOCH + timedelta(microseconds=value)).time()
    return value
