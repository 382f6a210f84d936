"""Where psycopg and ADBC give something else than the connector, difference by difference.

The first that stands for a value counts. "Same" = the same value in another class of Python or
another type of Arrow; what loses a value, or is no value, says so.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from uuid import UUID

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from tests.pg_connector.peers import ADBC, BINARY, REFUSED, SENT, TEXT
from tests.pg_connector.types_table import Kind, Value

BOTH = (TEXT, BINARY)


@dataclass(frozen=True)
class Difference:
    """`kinds` = a regular expression of the types' names in SQL. `gives` = what the peer gives, for
    all values or by the value's constant ("" = NULL)."""

    peers: tuple[str, ...]
    kinds: str
    gives: Callable[[Value], str] | Mapping[str, str]
    reason: str

    def expected(self, peer: str, kind: Kind, value: Value) -> str | None:
        """None where it does not stand for this value."""
        if peer not in self.peers or re.fullmatch(self.kinds, kind.sql) is None:
            return None
        if isinstance(self.gives, Mapping):
            return self.gives.get(value.sql)
        return None if value.arrow is None else self.gives(value)


def always(outcome: str) -> Callable[[Value], str]:
    return lambda _: outcome


def as_type(kind: str) -> Callable[[Value], str]:
    """ADBC: the same text in another type."""
    return lambda value: f"{kind}: {value.csv!r}"


NULL = "(SELECT NULL)"
_LIMITED = "Python's dates and times end with the years 1 and 9999 and know no 24:00"
_PYTHON = "a class of Python holds the same value"
_WIRE = "the driver does not decode the type"
_OBJECTS = {
    "uuid": lambda v: repr(UUID(v.csv)),
    "cidr": lambda v: repr(ip_network(v.csv)),
    "inet": lambda v: repr((ip_interface if "/" in v.csv else ip_address)(v.csv)),
    "numeric|numeric\\(77,1\\)": lambda v: repr(Decimal(v.csv)),
}
_DIMENSIONS = "Python's lists need no type: they nest as each value does"
_UNKNOWN = "arrays of a user's own types are one text to it"
_DECIMAL_NAN = "Python's Decimal has NaN, Arrow's has not"

PSYCOPG = (
    *(Difference(BOTH, kind, gives, _PYTHON) for kind, gives in _OBJECTS.items()),
    Difference(
        (TEXT,), "float4", lambda v: repr(float(v.csv)),
        "reads the short text as a double, which is another number than the float4",
    ),
    Difference(
        BOTH, r"numeric\(6,2\)|numeric\(76,38\)|price", {"NaN": "Decimal('NaN')"}, _DECIMAL_NAN,
    ),
    Difference(BOTH, r"numeric\(6,2\)\[\]", {"{NaN}": "[Decimal('NaN')]"}, _DECIMAL_NAN),
    Difference(BOTH, r"numeric\[\]", always("[Decimal('1.10'), Decimal('NaN')]"), _PYTHON),
    Difference(
        BOTH, "jsonb?", lambda v: repr(json.loads(v.csv)),
        "parsed: numbers are rounded to doubles, repeated keys are lost, and JSON's null is as NULL",
    ),
    Difference(BOTH, r"json\[\]", always("[{'a': 1}]"), "parsed"),
    Difference(BOTH, r"jsonb\[\]", always("[{'a': 1}, None]"), "parsed"),
    Difference(
        BOTH, r"date|timestamp|timestamptz",
        lambda v: REFUSED if re.search("BC|10000|5874897|2942", v.csv) else "",
        _LIMITED,
    ),
    Difference(BOTH, "timetz", {"24:00:00-15:59": REFUSED}, _LIMITED),
    Difference(
        BOTH, "timetz",
        {
            "00:00:00+00": "datetime.time(0, 0, tzinfo=datetime.timezone.utc)",
            "03:04:05.6+02": "datetime.time(3, 4, 5, 600000, tzinfo=datetime.timezone(datetime.timedelta(seconds=7200)))",
            "01:02:03+05:45:30": "datetime.time(1, 2, 3, tzinfo=datetime.timezone(datetime.timedelta(seconds=20730)))",
        },
        _PYTHON,
    ),
    Difference(
        (TEXT,), "interval", {each: repr(timedelta(0)) for each in ("infinity", "-infinity")},
        "infinity becomes zero",
    ),
    Difference(
        (BINARY,), "interval", dict.fromkeys(("infinity", "-infinity"), REFUSED), _LIMITED,
    ),
    Difference(
        BOTH, "interval",
        {
            "00:00:00": repr(timedelta(0)),
            "00:00:00.000001": repr(timedelta(microseconds=1)),
            "-00:00:00.000001": repr(timedelta(microseconds=-1)),
            "1 year 2 months -3 days 4:05:06.789": repr(timedelta(365 + 60 - 3, 14_706, 789_000)),
            "P1M30D": repr(timedelta(60)),
        },
        "a month becomes 30 days and a year 365",
    ),
    Difference(
        BOTH, "interval",
        {
            "-178000000 years": repr(timedelta(-(178_000_000 * 365 % 2**32))),
            "178000000 years": repr(timedelta(178_000_000 * 365 % 2**32)),
        },
        "the number of days overflows",
    ),
    Difference((TEXT,), r"interval\[\]", always("[datetime.timedelta(days=30), datetime.timedelta(0)]"), "infinity becomes zero, a month 30 days"),
    Difference((BINARY,), r"interval\[\]", always(REFUSED), _LIMITED),
    Difference(
        BOTH, "daterange|tsrange", lambda v: REFUSED if re.search("infinity|BC", v.csv) else "", _LIMITED,
    ),
    Difference(
        BOTH, ".*range",
        {
            "empty": repr(Range(empty=True)),
            "(,)": repr(Range(None, None, "()")),
            "[1,5]": repr(Range(1, 6, "[)")),
            "(,2147483647)": repr(Range(None, 2**31 - 1, "()")),
            "[-9223372036854775808,1)": repr(Range(-(2**63), 1, "[)")),
            "[1.10,2.50]": repr(Range(Decimal("1.10"), Decimal("2.50"), "[]")),
            "(0,NaN)": repr(Range(Decimal(0), Decimal("NaN"), "()")),
            '["2026-01-01 00:00:00+00",)': "Range(datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), None, '[)')",
            "{}": repr(Multirange([])),
            "{[1,3],[7,8)}": repr(Multirange([Range(1, 4, "[)"), Range(7, 8, "[)")])),
            "{[1,3)}": repr(Multirange([Range(1, 3, "[)")])),
            "{[1.0,3.5]}": repr(Multirange([Range(Decimal("1.0"), Decimal("3.5"), "[]")])),
            "{[2026-01-01,2026-02-01)}": "Multirange([Range(datetime.date(2026, 1, 1), datetime.date(2026, 2, 1), '[)')])",
            '{["2026-01-01 00:00:00","2026-02-01 00:00:00")}': "Multirange([Range(datetime.datetime(2026, 1, 1, 0, 0), datetime.datetime(2026, 2, 1, 0, 0), '[)')])",
            '{["2026-01-01 00:00:00+00",)}': "Multirange([Range(datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), None, '[)')])",
        },
        _PYTHON,
    ),
    Difference(BOTH, r"int4range\[\]", always("[Range(1, 2, '[)'), Range(empty=True)]"), _PYTHON),
    Difference(BOTH, r"uuid\[\]", {"{00000000-0000-0000-0000-000000000001}": "[UUID('00000000-0000-0000-0000-000000000001')]"}, _PYTHON),
    Difference(BOTH, r"inet\[\]", always("[IPv4Address('10.0.0.1'), IPv4Interface('10.0.0.1/8'), None]"), _PYTHON),
    Difference(BOTH, r"int4\[\]", {"{{1,2},{3,4}}": "[[1, 2], [3, 4]]"}, _DIMENSIONS),
    Difference(BOTH, r"text\[\]", {"{{a},{b}}": "[['a'], ['b']]"}, _DIMENSIONS),
    Difference(BOTH, r"uuid\[\]", {"{{00000000-0000-0000-0000-000000000001}}": "[[UUID('00000000-0000-0000-0000-000000000001')]]"}, _DIMENSIONS),
    Difference((TEXT,), r"(mood|pair|price)\[\]", lambda v: repr(v.csv), _UNKNOWN),
    Difference((BINARY,), '"char"', {"": "'\\x00'"}, "the byte of value zero, which the server writes as no text"),
    Difference((BINARY,), '"char"', {"\\377": REFUSED}, "a byte that is no text in UTF-8"),
    Difference((BINARY,), "aclitem|gtsvector", lambda v: REFUSED, "the server does not send it in binary"),
    Difference((BINARY,), "aclitem|gtsvector", {NULL: REFUSED}, "the server does not send it in binary, not even NULL"),
    Difference(
        (BINARY,),
        r"money|jsonpath|(var)?bit.*|tsvector|tsquery|refcursor|macaddr8?|point|line|lseg|box|path|polygon|circle"
        r"|xid8?|cid|tid|pg_.*|txid_snapshot|reg.*|(int2|oid)vector|(box|int2vector|mood|pair|price)\[\]"
        r"|mood|pair|nest|floats|vector.*",
        always(SENT), _WIRE,
    ),
)  # fmt: skip

_LIST = "list<item: {}>: {}"
_WRAPS = "the number overflows: it is another moment"
ARROW = (
    Difference((ADBC,), "oid", {"4294967295": "int32: -1"}, "the number overflows"),
    Difference((ADBC,), "oid", {"0": "int32: 0"}, "oid is unsigned, int32 is not"),
    Difference((ADBC,), r"oid\[\]", always("list<item: int32>: [-1]"), "the number overflows"),
    Difference(
        (ADBC,), r"numeric(\(.*\))?|price",
        {"NaN": "opaque: 'nan'", "Infinity": "opaque: 'inf'", "-Infinity": "opaque: '-inf'"},
        "text without its digits' number, and in words of its own",
    ),
    Difference((ADBC,), r"numeric(\(.*\))?|price|cost", as_type("opaque"), "text without its digits' number"),
    Difference((ADBC,), r"numeric\(6,2\)\[\]", {"{1.50,NULL}": "list<opaque>: ['1.50', None]", "{NaN}": "list<opaque>: ['nan']"}, "text without its digits' number"),
    Difference((ADBC,), r"numeric\[\]", always("list<opaque>: ['1.10', 'nan']"), "text, NaN in words of its own"),
    Difference((ADBC,), r"price\[\]", always("list<opaque>: ['1.50']"), "same"),
    Difference(
        (ADBC,), "money", lambda v: f"int64: {re.sub('[$,.]', '', v.csv).lstrip('0') or 0}",
        "the number of the smallest coins, which it does not say",
    ),
    Difference((ADBC,), '"char"', {"": "string: '\\x00'"}, "the byte of value zero"),
    Difference((ADBC,), '"char"', {"\\377": REFUSED}, "a byte that is no text in UTF-8"),
    Difference((ADBC,), "jsonb?", as_type("json"), "same"),
    Difference((ADBC,), r"json\[\]", always("list<json>: ['{\"a\":  1}']"), "same"),
    Difference((ADBC,), r"jsonb\[\]", always("list<json>: ['{\"a\": 1}', None]"), "same"),
    Difference((ADBC,), "uuid", lambda v: f"uuid: {UUID(v.csv).bytes!r}", "same, in its bytes"),
    Difference((ADBC,), r"uuid\[\]", always(f"list<uuid>: {[UUID(int=1).bytes]!r}"), "same, in their bytes; dimensions are lost"),
    Difference(
        (ADBC,), "date", {"infinity": "date32[day]: -2147472692", "-infinity": "date32[day]: -2147472691"}, _WRAPS,
    ),
    Difference((ADBC,), r"date\[\]", {"{infinity}": "list<item: date32[day]>: [-2147472692]"}, _WRAPS),
    *(
        Difference(
            (ADBC,), kind,
            {
                f"294276-12-31 23:59:59.999999{zone}": f"{arrow}: -9222426057709551617",
                "infinity": f"{arrow}: -9222425352054775809",
                "-infinity": f"{arrow}: -9222425352054775808",
            },
            _WRAPS,
        )
        for kind, arrow, zone in (
            ("timestamp", "timestamp[us]", ""), ("timestamptz", "timestamp[us, tz=UTC]", "+00"),
        )
    ),
    Difference((ADBC,), r"timestamptz\[\]", {"{-infinity}": "list<item: timestamp[us, tz=UTC]>: [-9222425352054775808]"}, _WRAPS),
    Difference((ADBC,), "time", {"24:00:00": "time64[us]: 86400000000"}, "Arrow's times end before 24:00"),
    Difference((ADBC,), r"time\[\]", {"{24:00:00}": "list<item: time64[us]>: [86400000000]"}, "Arrow's times end before 24:00"),
    Difference((ADBC,), "interval", {"infinity": REFUSED, "-infinity": REFUSED}, "Arrow's intervals know no infinity"),
    Difference((ADBC,), r"interval\[\]", always(REFUSED), "Arrow's intervals know no infinity"),
    Difference(
        (ADBC,), "interval",
        {
            sql: f"month_day_nano_interval: MonthDayNano(months={months}, days={days}, nanoseconds={ns})"
            for sql, months, days, ns in (
                ("00:00:00", 0, 0, 0),
                ("1 year 2 months -3 days 4:05:06.789", 14, -3, 14_706_789_000_000),
                ("-178000000 years", -2_136_000_000, 0, 0), ("178000000 years", 2_136_000_000, 0, 0),
                ("00:00:00.000001", 0, 0, 1000), ("-00:00:00.000001", 0, 0, -1000), ("P1M30D", 1, 30, 0),
            )
        },
        "same, in a type that Parquet does not have",
    ),
    Difference((ADBC,), "regproc", {"now": "int32: 1299"}, "the function's number"),
    Difference((ADBC,), "int2vector", {"1 -2 3": "list<item: int16>: [1, -2, 3]", "": "list<item: int16>: []"}, "same"),
    Difference((ADBC,), r"int2vector\[\]", always("list<item: list<item: int16>>: [[1, 2]]"), "same"),
    Difference((ADBC,), r"int4\[\]", {"{{1,2},{3,4}}": "list<item: int32>: [1, 2, 3, 4]"}, "dimensions are lost"),
    Difference((ADBC,), r"text\[\]", {"{{a},{b}}": "list<item: string>: ['a', 'b']"}, "dimensions are lost"),
    Difference((ADBC,), "aclitem|gtsvector", lambda v: REFUSED, "the server does not send it in binary"),
    Difference((ADBC,), "aclitem|gtsvector", {NULL: REFUSED}, "the server does not send it in binary, not even NULL"),
    Difference(
        (ADBC,), "pair",
        {
            '(1,"x ""y"", z")': "struct<a: int32, b: string>: {'a': 1, 'b': 'x \"y\", z'}",
            "(,)": "struct<a: int32, b: string>: {'a': None, 'b': None}",
            '(1,"")': "struct<a: int32, b: string>: {'a': 1, 'b': ''}",
        },
        "same, by fields",
    ),
    Difference((ADBC,), r"pair\[\]", always("list<item: struct<a: int32, b: string>>: [{'a': 1, 'b': 'a'}, {'a': None, 'b': None}]"), "same, by fields"),
    Difference((ADBC,), "nest", always(
        "struct<one: struct<a: int32, b: string>, more: list<item: struct<a: int32, b: string>>, at: timestamp[us, tz=UTC]>: "
        "{'one': {'a': 1, 'b': 'a'}, 'more': [], 'at': datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zoneinfo.ZoneInfo(key='UTC'))}",
    ), "same, by fields"),
    Difference(
        (ADBC,),
        r"jsonpath|(var)?bit.*|timetz|inet|cidr|macaddr8?|point|line|lseg|box|path|polygon|circle|tsvector|tsquery"
        r"|.*range|floats|vector.*|xid8?|cid|tid|pg_.*|txid_snapshot|reg.*|oidvector|(box|inet|int4range)\[\]",
        always(SENT), _WIRE,
    ),
)  # fmt: skip

NESTED = (
    Difference(
        BOTH, r"int4\[\]\[\]", {"{1,2}": "[1, 2]", "{{{1}}}": "[[[1]]]"}, _DIMENSIONS,
    ),
    Difference(
        BOTH, r"uuid\[\]\[\]", always("[[UUID('00000000-0000-0000-0000-000000000001')]]"), _PYTHON,
    ),
    Difference(
        (ADBC,), r"int4\[\]\[\]",
        {
            "{}": "list<item: int32>: []",
            "{{1,2},{3,NULL},{5,6}}": "list<item: int32>: [1, 2, 3, None, 5, 6]",
            "{{7}}": "list<item: int32>: [7]",
            "{1,2}": "list<item: int32>: [1, 2]",
            "{{{1}}}": "list<item: int32>: [1]",
        },
        "dimensions are lost",
    ),
    Difference((ADBC,), r"text\[\]\[\]\[\]", always("list<item: string>: ['a', '', None, 'b']"), "dimensions are lost"),
    Difference((ADBC,), r"uuid\[\]\[\]", always(f"list<uuid>: {[UUID(int=1).bytes]!r}"), "dimensions are lost"),
    Difference((ADBC,), r"numeric\(6,2\)\[\]\[\]", always("list<opaque>: ['1.50', None]"), "dimensions are lost"),
)  # fmt: skip

DIFFERENCES = (*PSYCOPG, *ARROW, *NESTED)


def expected(peer: str, kind: Kind, value: Value) -> tuple[str, Difference] | None:
    """What the peer is known to give instead, and why; None where it gives the same."""
    for difference in DIFFERENCES:
        if outcome := difference.expected(peer, kind, value):
            return outcome, difference
    return None
