"""COPY's binary format, written here by the manual, read by the connector however it is cut."""

import shutil
import struct
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.pg_connector import values
from services.pg_connector.binary import kernel
from services.pg_connector.binary.cells import Cells
from services.pg_connector.binary.decoding import Decoder, way_of
from services.pg_connector.binary.fields import Malformed, Walk
from services.pg_connector.binary.framing import SIGNATURE, Framing
from services.pg_connector.binary.numerics import Unfit, decimals
from services.pg_connector.copying import copy_of
from services.pg_connector.errors import ValueUnfit
from services.pg_connector.values import Column, schema_of

pytestmark = pytest.mark.req("P3")
HEADER = SIGNATURE + struct.pack("!ii", 0, 0)
END = struct.pack("!h", -1)
COMPILED = kernel.KERNEL
_DAY_0, _MOMENT_0 = date(2000, 1, 1), datetime(2000, 1, 1)


@pytest.fixture(scope="module", params=["compiled", "numpy"], autouse=True)
def loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """All that follows is read by the compiled loops, and once more without them."""
    if request.param == "compiled" and COMPILED is None:
        pytest.skip("the loops are not compiled here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "KERNEL", COMPILED if request.param == "compiled" else None)
        yield


def row(fields: Sequence[bytes | None]) -> bytes:
    told = b"".join(
        struct.pack("!i", -1) if field is None else struct.pack("!i", len(field)) + field
        for field in fields
    )
    return struct.pack("!h", len(fields)) + told


def file(rows: Sequence[Sequence[bytes | None]]) -> bytes:
    return HEADER + b"".join(map(row, rows)) + END


def pieces(data: bytes, places: Sequence[int]) -> list[bytes]:
    cuts = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(cuts)]


def numeric(value: Decimal) -> bytes:
    """As numeric_send writes it."""
    if not value.is_finite():
        sign = 0xC000 if value.is_nan() else 0xD000 if value > 0 else 0xF000
        return struct.pack("!hhHh", 0, 0, sign, 0)
    scale = max(0, -int(value.as_tuple().exponent))
    whole, behind = f"{value.copy_abs():f}".partition(".")[::2]
    whole, behind = whole.rjust(-(-len(whole) // 4) * 4, "0"), behind.ljust(-(-scale // 4) * 4, "0")
    groups = [int((whole + behind)[at : at + 4]) for at in range(0, len(whole + behind), 4)]
    weight = len(whole) // 4 - 1
    while groups and not groups[0]:
        groups, weight = groups[1:], weight - 1
    while groups and not groups[-1]:
        groups = groups[:-1]
    sign = 0x4000 if value < 0 else 0
    head = struct.pack("!hhHh", len(groups), weight if groups else 0, sign, scale)
    return head + struct.pack(f"!{len(groups)}h", *groups)


def array(elements: Sequence[bytes | None], of: int = 23) -> bytes:
    if not elements:
        return struct.pack("!iii", 0, 0, of)
    return struct.pack("!iiiii", 1, int(None in elements), of, len(elements), 1) + row(elements)[2:]


def column(kind: str, told: str = "", schema: str = "pg_catalog") -> Column:
    return Column("x", kind, schema, told or kind)


def read(columns: Sequence[Column], parts: Sequence[bytes]) -> list[tuple[Any, ...]]:
    schema = schema_of(columns)
    decoder = Decoder(columns, schema)
    batches = [batch for part in parts if (batch := decoder.take(part)) is not None]
    for batch in batches:
        batch.validate(full=True)
    return [
        row
        for batch in batches
        for row in zip(*(each.to_pylist() for each in batch.columns), strict=True)
    ]


# as a server writes them, but for some signs
_NUMERICS = st.builds(
    lambda weight, sign, digits: (
        struct.pack("!hhHh", len(digits), weight, sign, 0)
        + struct.pack(f"!{len(digits)}H", *digits)
    ),
    st.integers(-12, 12),
    st.sampled_from([0, 0x4000, 0, 0x4000, 0xC000, 0xD000, 0xF000, 0x1234]),
    st.lists(st.sampled_from([0, 1, 10, 100, 1000, 1200, 5000, 9999]), max_size=6).filter(
        lambda digits: not digits or (digits[0] and digits[-1])
    ),
)
_MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))


def _micro(value: datetime) -> int:
    return (value - _MOMENT_0) // timedelta(microseconds=1)


# a column, its values, and how the server sends one
KINDS: list[tuple[Column, st.SearchStrategy[Any], Any]] = [
    (column("int2"), st.integers(-(2**15), 2**15 - 1), lambda v: struct.pack("!h", v)),
    (column("int4"), st.integers(-(2**31), 2**31 - 1), lambda v: struct.pack("!i", v)),
    (column("int8"), st.integers(-(2**63), 2**63 - 1), lambda v: struct.pack("!q", v)),
    (column("oid"), st.integers(0, 2**32 - 1), lambda v: struct.pack("!I", v)),
    (column("float4"), st.floats(width=32, allow_nan=False), lambda v: struct.pack("!f", v)),
    (column("float8"), st.floats(allow_nan=False), lambda v: struct.pack("!d", v)),
    (column("bool"), st.booleans(), lambda v: struct.pack("!b", v)),
    (column("text"), st.text(), str.encode),
    (column("jsonb"), st.text(), lambda v: b"\1" + v.encode()),
    # what looks like the beginning of a row
    (column("bytea"), st.text("\0\1\2\3\4\10", max_size=30).map(str.encode), bytes),
    (column("date"), st.dates(), lambda v: struct.pack("!i", (v - _DAY_0).days)),
    (column("timestamp"), _MOMENTS, lambda v: struct.pack("!q", _micro(v))),
    (
        column("numeric", "numeric(12,2)"),
        st.decimals(-(10**9), 10**9, places=2),
        numeric,
    ),
    (
        column("numeric", "numeric(38,9)"),
        st.decimals(-(10**28), 10**28, places=9),
        numeric,
    ),
    (
        column("int4[]"),
        st.lists(st.none() | st.integers(-9, 9), max_size=5),
        lambda v: array([None if e is None else struct.pack("!i", e) for e in v]),
    ),
    (
        column("text[]"),
        st.lists(st.none() | st.text(max_size=4), max_size=3),
        lambda v: array([None if e is None else e.encode() for e in v], 25),
    ),
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], list[tuple[Any, ...]], bytes]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    values = [st.none() | values for _, values, _ in kinds]
    rows = draw(st.lists(st.tuples(*values), max_size=20))
    sent = [
        [None if v is None else send(v) for v, (_, _, send) in zip(each, kinds, strict=True)]
        for each in rows
    ]
    return [column for column, _, _ in kinds], rows, file(sent)


@settings(max_examples=150, deadline=None)
@given(tables(), st.lists(st.integers(0, 4000), max_size=8))
def test_rows_are_read_however_the_bytes_come(table, places) -> None:
    columns, rows, data = table
    assert read(columns, pieces(data, places)) == rows


def test_rows_are_read_split_at_every_byte() -> None:
    columns = [column("int8"), column("text"), column("numeric", "numeric(6,2)")]
    sent: list[list[bytes | None]] = [
        [struct.pack("!q", 1), "é".encode(), numeric(Decimal("-1.50"))],
        [None, b"", None],
    ]
    rows = [(1, "é", Decimal("-1.50")), (None, "", None)]
    data = file(sent)
    assert read(columns, [data[at : at + 1] for at in range(len(data))]) == rows
    for at in range(len(data)):
        assert read(columns, [data[:at], data[at:]]) == rows


@pytest.mark.parametrize("columns", [1, 2, 8, 255, 256, 800])
def test_rows_of_what_looks_like_rows(columns: int) -> None:
    """Each value holds the beginning of a row, and a whole one."""
    plain = row([b"\0" * 8] * columns)
    values = [plain[:6], plain, plain[:2] * 3, b"", None]
    sent = [[values[(number + place) % 5] for place in range(columns)] for number in range(7)]
    data = file(sent)
    kinds = [column("bytea")] * columns
    for size in (len(data) // 29, len(data) // 3, len(data)):
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        assert read(kinds, parts) == [tuple(each) for each in sent]


def test_rows_wider_than_pieces_are_waited_for_and_not_looked_at_meanwhile() -> None:
    wide = bytes(range(256)) * 512
    data = file([[wide], [b"x"], [wide]])
    looks = 0

    class Counted(Framing):
        def _walk(self, data: bytes, begin: int) -> Walk:
            nonlocal looks
            looks += 1
            return super()._walk(data, begin)

    framing, found = Counted(1), list[int]()
    for at in range(0, len(data), 1024):
        fields = framing.take(data[at : at + 1024])
        if fields is not None:
            found.extend(fields.lengths[0].tolist())
    assert found == [len(wide), 1, len(wide)]
    # of the rows' heads, of each whole row, of the end: not of each of 257 pieces
    assert looks <= 8


def test_no_rows_give_no_batch() -> None:
    assert read([column("int4")], [file([])]) == []
    assert read([column("int4")], [HEADER[:5], HEADER[5:], END]) == []


def test_header_may_be_longer() -> None:
    longer = SIGNATURE + struct.pack("!ii", 0, 5) + b"12345"
    data = longer + row([b"abc"]) + END
    for at in range(len(data)):
        assert read([column("text")], [data[:at], data[at:]]) == [("abc",)]


@pytest.mark.parametrize(
    "data",
    [
        b"no such signature, and long enough",
        HEADER + row([b"1"] * 3),
        HEADER + row([b"1"] * 2) + row([b"1"]),
        HEADER + struct.pack("!hi", 2, -7) + b"123456789",
        HEADER + struct.pack("!hii", 2, -1, -2) + b"123456789",
    ],
)
def test_what_no_server_writes_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read([column("text"), column("text")], [data])


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("int8", b"1234"),
        ("int4[]", struct.pack("!iiiii", 1, 0, 23, 1 << 30, 1)),
        ("int4[]", struct.pack("!iiiiii", 1, 0, 23, 1, 1, 99)),
        ("int4[]", struct.pack("!iiiiii", 1, 0, 23, 1, 1, -2)),
        ("jsonb", b"\2{}"),
    ],
)
def test_fields_that_no_server_writes_are_refused(kind: str, field: bytes) -> None:
    with pytest.raises(Malformed):
        read([column(kind)], [file([[field]])])


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 38))
def test_numerics_are_exact(data, precision) -> None:
    scale = data.draw(st.integers(0, precision))
    most = 10**precision - 1
    whole = st.none() | st.integers(-most, most) | st.sampled_from([0, 1, -1, most, -most])
    rows = data.draw(st.lists(whole, min_size=1, max_size=20))
    values = [None if value is None else Decimal(f"{value}e-{scale}") for value in rows]
    sent = [[None if value is None else numeric(value)] for value in values]
    kind = column("numeric", f"numeric({precision},{scale})")
    assert read([kind], [file(sent)]) == [(value,) for value in values]


@pytest.mark.parametrize(
    ("kind", "told", "field", "why"),
    [
        ("numeric", "numeric(6,2)", numeric(Decimal("NaN")), "no decimal"),
        ("numeric", "numeric(6,2)", numeric(Decimal("Infinity")), "infinity"),
        ("numeric", "numeric(6,2)", numeric(Decimal("-Infinity")), "infinity"),
        ("numeric", "numeric(6,2)", numeric(Decimal("10000.00")), "no decimal"),
        ("numeric", "numeric(6,2)", numeric(Decimal("100000000.00")), "no decimal"),
        ("numeric", "numeric(6,2)", numeric(Decimal("0.001")), "no decimal"),
        ("numeric", "numeric(6,2)", numeric(Decimal("0.000001")), "no decimal"),
        ("numeric", "numeric(30,2)", numeric(Decimal("0.001")), "no decimal"),
        ("date", "", struct.pack("!i", 2**31 - 1), "infinity"),
        ("date", "", struct.pack("!i", -(2**31)), "infinity"),
        ("timestamptz", "", struct.pack("!q", 2**63 - 1), "infinity"),
        ("timestamp", "", struct.pack("!q", 2**63 - 10), "no timestamp"),
        ("time", "", struct.pack("!q", 86_400_000_000), "no time64"),
        ("int4[]", "", struct.pack("!iiiiiii", 2, 0, 23, 0, 1, 0, 1), "no list"),
        ("text", "", b"\xff", "UTF-8"),
    ],
)
def test_what_arrow_cannot_hold_is_told(kind: str, told: str, field: bytes, why: str) -> None:
    with pytest.raises(ValueUnfit, match=why) as caught:
        read([column(kind, told)], [file([[None], [field]])])
    assert caught.value.column == "x"


def test_long_lists_among_short_ones() -> None:
    lists = [list(range(300)), [], [1], None, [None] * 70, list(range(65))]
    sent = [
        [
            None
            if each is None
            else array([None if e is None else struct.pack("!i", e) for e in each])
        ]
        for each in lists
    ]
    assert read([column("int4[]")], [file(sent)]) == [(each,) for each in lists]


def test_text_that_arrow_cannot_hold_inside_a_list_is_told() -> None:
    with pytest.raises(ValueUnfit, match="UTF-8"):
        read([column("text[]")], [file([[array([b"a", b"\xff"], 25)]])])


@pytest.mark.parametrize(
    ("kind", "told", "schema", "written"),
    [
        ("int4", "", "pg_catalog", "q.c0"),
        ("int4[]", "", "pg_catalog", "q.c0"),
        ("numeric", "numeric(6,2)", "pg_catalog", "q.c0"),
        ("numeric", "", "pg_catalog", "q.c0::pg_catalog.text"),
        ("uuid", "", "pg_catalog", "q.c0::pg_catalog.text"),
        ("inet", "", "pg_catalog", "pg_catalog.abbrev(q.c0)"),
        ("xml", "", "pg_catalog", "pg_catalog.textin(pg_catalog.xml_out(q.c0))"),
        ("mood", "", "public", "q.c0::pg_catalog.text"),
    ],
)
def test_server_writes_what_is_not_read(kind: str, told: str, schema: str, written: str) -> None:
    copy = copy_of("SELECT 1", [column(kind, told, schema)], form="binary")
    assert copy.sql == f"SELECT {written} FROM (\nSELECT 1\n) AS q(c0)"


def test_every_type_that_is_not_text_is_read() -> None:
    for name in set(values._PLAIN) - {"xml"}:
        assert way_of(column(name)).written("x") == "x"
        assert way_of(column(f"{name}[]")).written("x") == "x"


def test_loops_are_compiled_where_there_is_a_compiler() -> None:
    assert COMPILED is not None or not any(map(shutil.which, ("cc", "gcc", "clang")))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 20))
def test_walk_stays_within_its_bytes_whatever_they_are(data: bytes, columns: int, at: int) -> None:
    assert COMPILED is not None
    whole = row([data[:at]] * columns) + data
    try:
        walk = COMPILED.walk(whole, 0, columns)
    except Malformed:
        return
    ends = walk.fields.starts + np.maximum(walk.fields.lengths, 0)
    assert len(walk.fields) >= 1
    assert (ends <= walk.end).all() and walk.end <= len(whole)
    assert walk.wanted > walk.end


def decimals_of(fields: list[bytes | None], digits: tuple[int, int]) -> list[Decimal] | str:
    data = np.frombuffer(b"".join(each or b"" for each in fields) + b"\0" * 8, np.uint8)
    lengths = np.array([-1 if each is None else len(each) for each in fields], np.int64)
    sizes = np.maximum(lengths, 0)
    try:
        cells = Cells(data, np.cumsum(sizes) - sizes, lengths)
        return decimals(cells, pa.decimal128(*digits)).to_pylist()
    except (Unfit, Malformed) as exc:
        return str(exc)


_DIGITS = st.integers(1, 38).flatmap(lambda most: st.tuples(st.just(most), st.integers(0, most)))


@settings(max_examples=300)
@given(st.none() | _NUMERICS, _DIGITS)
def test_numeric_that_need_not_fit_is_the_same_by_both_loops(
    field: bytes | None, digits: tuple[int, int]
) -> None:
    found = list[Any]()
    for loops in (COMPILED, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel, "KERNEL", loops)
            found.append(decimals_of([field, None], digits))
    assert found[0] == found[1]


@settings(max_examples=300)
@given(st.lists(st.none() | st.binary(max_size=16), min_size=1, max_size=3), _DIGITS)
def test_numeric_of_any_bytes_is_a_number_or_refused(
    fields: list[bytes | None], digits: tuple[int, int]
) -> None:
    found = decimals_of(fields, digits)
    assert found if isinstance(found, str) else len(found) == len(fields)
