"""Random values of each main type: what goes into the server comes back, by both ways and in each
format."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from tests.pg_connector.typed import fetched, raw, table_of, text_columns

_DAY = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -2_440_588, 2_145_042_905
# the last whole day that 64 bits of microseconds since 1970 hold
_LAST_MOMENT_DAY = 2**63 // _DAY - 1


def _spelt_alike(address: IPv4Address | IPv6Address) -> bool:
    """PostgreSQL writes the last half of ::/96 and ::ffff:0:0/96 as IPv4, Python only some of it."""
    return address.version == 4 or int(address) >> 32 not in (0, 0xFFFF)


@dataclass(frozen=True)
class Column:
    """`sql` writes a value as an expression, `expected` as `typed.raw` gives it."""

    type: str
    kind: pa.DataType
    values: st.SearchStrategy[Any]
    sql: Callable[[Any], str]
    expected: Callable[[Any], Any] = lambda value: value


def literal(kind: str, text: Callable[[Any], str] = str) -> Callable[[Any], str]:
    def written(value: Any) -> str:
        quoted = text(value).replace("'", "''")
        return f"'{quoted}'::{kind}"

    return written


def array(element: Callable[[Any], str], kind: str) -> Callable[[list[Any]], str]:
    def written(values: list[Any]) -> str:
        inner = ", ".join("NULL" if value is None else element(value) for value in values)
        return f"ARRAY[{inner}]::{kind}[]"

    return written


def decimals(precision: int, scale: int) -> Column:
    most = 10**precision - 1
    digits = st.integers(-most, most) | st.sampled_from([0, 1, -1, most, -most])
    kind = (pa.decimal128 if precision <= 38 else pa.decimal256)(precision, scale)
    values = digits.map(lambda whole: format(Decimal(whole).scaleb(-scale, _WIDE), "f"))
    name = f"numeric({precision},{scale})"
    return Column(name, kind, values, literal("numeric"))


def moment(parts: tuple[int, int]) -> str:
    day, micros = parts
    return f"('1970-01-01'::date + {day})::timestamp + {micros} * interval '1 microsecond'"


def exact(text: str) -> str:
    """As the server writes a numeric: no exponent, zero without a sign."""
    value = Decimal(text)
    return format(abs(value) if value == 0 else value, "f")


_WIDE = Context(prec=100)
# what the server takes for text: no NUL, no half of a surrogate pair
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_MOMENTS = st.tuples(st.integers(_FIRST_DAY, _LAST_MOMENT_DAY), st.integers(0, _DAY - 1))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
COLUMNS = [
    Column("bool", pa.bool_(), st.booleans(), literal("bool")),
    Column("int2", pa.int16(), st.integers(-(2**15), 2**15 - 1), literal("int2")),
    Column("int4", pa.int32(), st.integers(-(2**31), 2**31 - 1), literal("int4")),
    Column("int8", pa.int64(), st.integers(-(2**63), 2**63 - 1), literal("int8")),
    Column("oid", pa.int64(), st.integers(0, 2**32 - 1), literal("oid")),
    Column("float4", pa.float32(), st.floats(width=32), literal("float4", repr)),
    Column("float8", pa.float64(), st.floats(), literal("float8", repr)),
    decimals(6, 2),
    decimals(38, 10),
    decimals(76, 70),
    Column(
        "numeric", pa.string(), st.decimals(allow_nan=False, allow_infinity=False).map(str).filter(
            lambda text: abs(Decimal(text).adjusted()) < 900),
        literal("numeric"), exact,
    ),
    Column("text", pa.string(), _TEXT, literal("text")),
    Column("bytea", pa.binary(), st.binary(max_size=20), literal("bytea", lambda value: "\\x" + value.hex())),
    Column("date", pa.date32(), st.integers(_FIRST_DAY, _LAST_DAY), lambda day: f"'1970-01-01'::date + {day}"),
    Column("timestamp", pa.timestamp("us"), _MOMENTS, moment, lambda parts: parts[0] * _DAY + parts[1]),
    Column(
        "timestamptz", pa.timestamp("us", "UTC"), _MOMENTS, lambda parts: f"({moment(parts)}) AT TIME ZONE 'UTC'",
        lambda parts: parts[0] * _DAY + parts[1],
    ),
    Column(
        "time", pa.time64("us"), st.integers(0, _DAY - 1),
        lambda micros: f"'00:00'::time + {micros} * interval '1 microsecond'",
    ),
    Column("uuid", pa.string(), st.uuids().map(str), literal("uuid")),
    Column("json", pa.string(), _JSON.map(json.dumps), literal("json")),
    Column(
        "inet", pa.string(), st.ip_addresses().filter(_spelt_alike).map(str) | st.tuples(st.ip_addresses(v=4), st.integers(0, 31)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        literal("inet"), lambda text: str(ip_interface(text)).removesuffix("/32").removesuffix("/128"),
    ),
    Column("varbit", pa.string(), st.text("01", max_size=20), literal("varbit")),
    Column(
        "int4range", pa.string(), st.tuples(st.integers(-99, 0), st.integers(1, 99)),
        lambda ends: f"int4range({ends[0]}, {ends[1]})", lambda ends: f"[{ends[0]},{ends[1]})",
    ),
    Column(
        "int4[]", pa.list_(pa.int32()), st.lists(st.none() | st.integers(-9, 9), max_size=4),
        array(str, "int4"),
    ),
    Column(
        "text[]", pa.list_(pa.string()), st.lists(st.none() | _TEXT, max_size=4), array(literal("text"), "text"),
    ),
    Column(
        "numeric(6,2)[]", pa.list_(pa.decimal128(6, 2)),
        st.lists(st.none() | decimals(6, 2).values, max_size=3), array(str, "numeric"),
    ),
    Column(
        "uuid[]", pa.list_(pa.string()), st.lists(st.none() | st.uuids().map(str), max_size=3),
        array(literal("uuid"), "uuid"),
    ),
]  # fmt: skip

ROWS = st.lists(
    st.tuples(*(st.none() | column.values for column in COLUMNS)), min_size=1, max_size=8
)


def query(rows: list[tuple[Any, ...]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        cells = [
            f"NULL::{_bare(column.type)}" if value is None else column.sql(value)
            for column, value in zip(COLUMNS, row, strict=True)
        ]
        lines.append(f"({number}, {', '.join(cells)})")
    return f"VALUES {', '.join(lines)}"


def _bare(kind: str) -> str:
    """Without digits: a cast to what a value has already would not be seen in the plan."""
    return re.sub(r"\(.*\)", "", kind)


def ways(rows: list[tuple[Any, ...]]) -> list[tuple[str, list[pb.Parameter]]]:
    """Casts come last, so that the digits of numerics are known."""
    names = [f"c{place}" for place in range(len(COLUMNS))]
    wanted = ", ".join(
        f"{name}::{column.type} AS {name}" for name, column in zip(names, COLUMNS, strict=True)
    )
    sql = f"SELECT {wanted} FROM ({query(rows)}) v(n, {', '.join(names)})"
    bound = [pb.Parameter(integer=len(rows))]
    return [(f"{sql} ORDER BY n", []), (f"{sql} WHERE n < $1 ORDER BY n", bound)]


async def _read(postgres: Postgres, rows: list[tuple[Any, ...]]) -> None:
    expected = [
        [None if row[place] is None else column.expected(row[place]) for row in rows]
        for place, column in enumerate(COLUMNS)
    ]
    texts = []
    for sql, parameters in ways(rows):
        table = table_of(
            await fetched(postgres.dsn, sql, pb.FORMAT_ARROW, parameters), pb.FORMAT_ARROW
        )
        for place, column in enumerate(COLUMNS):
            found = table.column(place)
            assert (found.type, repr(raw(found))) == (column.kind, repr(expected[place]))
        texts.append(text_columns(await fetched(postgres.dsn, sql, pb.FORMAT_CSV, parameters)))
    assert texts[0] == texts[1]


@pytest.mark.req("P3")
@settings(max_examples=12)
@given(rows=ROWS)
def test_random_values_come_back_by_both_ways(postgres: Postgres, rows: list[Any]) -> None:
    asyncio.run(_read(postgres, rows))
