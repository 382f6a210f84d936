"""Every type of PostgreSQL 18 that a column may have, with values at its edges, and what the
connector makes of each: its type in Arrow, its value there, and its text in CSV.

`peers_table` says where psycopg and ADBC give something else.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Unfit:
    """The value that Arrow's type does not hold: an error, whose message has these words."""

    why: str


@dataclass(frozen=True)
class Value:
    """`sql` without a cast: a constant's text, or an expression in parentheses.

    `arrow` = days and microseconds since 1970 for dates and timestamps, microseconds for times,
    since Python's own types do not reach as far as either.
    """

    sql: str
    arrow: Any
    csv: str

    def cast(self, kind: str) -> str:
        if self.sql.startswith("(SELECT"):
            return f"{self.sql}::{kind}"
        quoted = self.sql.replace("'", "''")
        return f"'{quoted}'::{kind}"


@dataclass(frozen=True)
class Kind:
    """A column's type as SQL writes it, `name` as pg_type has it."""

    sql: str
    name: str
    arrow: pa.DataType
    values: tuple[Value, ...] = ()


TEXT = pa.string()
_LONG = "1" + "0" * 131_071
_SMALL = "0." + "0" * 16_382 + "1"


def kind(sql: str, arrow: pa.DataType, *values: Value, name: str = "") -> Kind:
    return Kind(sql, name or sql.partition("(")[0], arrow, values)


def texts(sql: str, *values: str | tuple[str, str], name: str = "") -> Kind:
    """A type that comes as the text that the server writes, here beside what was put in where that
    differs."""
    pairs = [(each, each) if isinstance(each, str) else each for each in values]
    return kind(sql, TEXT, *(Value(given, text, text) for given, text in pairs), name=name)


def v(sql: str, arrow: Any, csv: str | None = None) -> Value:
    return Value(sql, arrow, sql if csv is None else csv)


SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'it''s "fine", so', 'glad');
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE nest AS (one pair, more pair[], at timestamptz);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN small AS positive CHECK (VALUE < 10);
CREATE DOMAIN price AS numeric(8,2);
CREATE DOMAIN cost AS price CHECK (VALUE > 0);
CREATE DOMAIN tags AS text[];
CREATE DOMAIN always AS boolean;
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE EXTENSION vector;
CREATE TABLE planned AS SELECT n / 2 AS a, n / 2 AS b FROM generate_series(0, 3) n;
CREATE STATISTICS of_both (ndistinct, dependencies, mcv) ON a, b FROM planned;
ANALYZE planned;
"""

_D38 = "9" * 38
_D76 = "9" * 38 + "." + "9" * 38

NUMBERS = (
    kind("bool", pa.bool_(), v("t", True, "true"), v("f", False, "false")),
    kind("int2", pa.int16(), v("-32768", -(2**15)), v("32767", 2**15 - 1), v("0", 0)),
    kind("int4", pa.int32(), v("-2147483648", -(2**31)), v("2147483647", 2**31 - 1)),
    kind("int8", pa.int64(), v("-9223372036854775808", -(2**63)), v("9223372036854775807", 2**63 - 1)),
    kind("oid", pa.int64(), v("0", 0), v("4294967295", 2**32 - 1)),
    kind(
        "float4", pa.float32(),
        v("3.4028235e+38", 3.4028234663852886e38), v("1e-45", 1.401298464324817e-45),
        v("0.1", 0.10000000149011612), v("-0", -0.0), v("NaN", float("nan")),
        v("Infinity", float("inf")), v("-Infinity", float("-inf")),
    ),
    kind(
        "float8", pa.float64(),
        v("1.7976931348623157e+308", 1.7976931348623157e308), v("5e-324", 5e-324), v("0.1", 0.1),
        v("0.30000000000000004", 0.30000000000000004), v("-0", -0.0), v("NaN", float("nan")),
        v("Infinity", float("inf")), v("-Infinity", float("-inf")),
    ),
    kind(
        "numeric(6,2)", pa.decimal128(6, 2),
        v("9999.99", "9999.99"), v("-9999.99", "-9999.99"), v("0", "0.00", "0.00"),
        v("NaN", Unfit("NaN")),
    ),
    kind("numeric(4,0)", pa.decimal128(4, 0), v("-9999", "-9999"), v("0", "0")),
    kind("numeric(38,0)", pa.decimal128(38, 0), v(_D38, _D38), v(f"-{_D38}", f"-{_D38}")),
    kind("numeric(38,38)", pa.decimal128(38, 38), v(f"0.{_D38}", f"0.{_D38}"), v("0", f"0.{'0' * 38}", f"0.{'0' * 38}")),
    kind("numeric(76,38)", pa.decimal256(76, 38), v(_D76, _D76), v(f"-{_D76}", f"-{_D76}"), v("NaN", Unfit("NaN"))),
    # more digits than Arrow has
    texts("numeric(77,1)", "9" * 76 + ".9", "NaN"),
    # counted in hundreds, and in fractions of a hundredth
    kind("numeric(3,-2)", pa.decimal128(5, 0), v("99949", "99900", "99900"), v("-50", "-100", "-100")),
    kind("numeric(3,5)", pa.decimal128(5, 5), v("0.00999", "0.00999"), v("0", "0.00000", "0.00000")),
    texts("numeric", "1.10", "0", "-0.1", "NaN", "Infinity", "-Infinity", "12345678901234567890.12345678901234567890", ("1e131071", _LONG), ("1e-16383", _SMALL)),
    texts("money", ("1234.5", "$1,234.50"), ("-92233720368547758.08", "-$92,233,720,368,547,758.08"), ("0", "$0.00")),
)  # fmt: skip

STRINGS = (
    texts("text", "", " ", "tæxt ✓ 🙂", 'a,"b"', "two\nlines\r\nthree", "NULL", "\\N", "\\.", "null", "'"),
    texts("varchar(3)", "", "abc", "æøå"),
    # padded to its length
    texts("bpchar(4)", ("", "    "), ("ab", "ab  "), "abcd"),
    texts("name", "", ("x" * 70, "x" * 63)),
    texts('"char"', "", "a", "\\377", name="char"),
    texts("json", '{"b":1,  "a":2, "a":1e400}', "null", '"\\u00e6"'),
    texts("jsonb", ('{"b":1,  "a":2, "a":3}', '{"a": 3, "b": 1}'), "null", '{"n": 123456789012345678901234567890.10}', '[1, "x", null]'),
    texts("jsonpath", ("$.a[*] ? (@ > 1)", '$."a"[*]?(@ > 1)')),
    # the bundled server is built without libxml
    texts("xml"),
    kind("bytea", pa.binary(), v("", b"", "\\x"), v("\\x00ff00", b"\x00\xff\x00"), v("\\x5c78", b"\\x")),
    texts("uuid", "00000000-0000-0000-0000-000000000000", ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "ffffffff-ffff-ffff-ffff-ffffffffffff")),
    texts("bit(3)", "101"),
    texts("varbit", "", "0101010101"),
    texts("tsvector", "", "'a':1A 'cat''s':2,3B 'd'"),
    texts("tsquery", "", "'a' & !'b' | 'c':*A", "'a' <-> 'b'"),
    texts("refcursor", "c 1"),
)  # fmt: skip

# Julian day 0 and the last that an int4 holds from 2000 on
_FIRST, _LAST = "4714-11-24", "5874897-12-31"
_FIRST_DAY, _LAST_DAY = -2_440_588, 2_145_042_905
_DAY = 86_400_000_000
_FIRST_US = _FIRST_DAY * _DAY
# what 64 bits hold since 1970 ends some thirty years before what they hold since 2000
_LAST_US = 2**63 - 1

TIMES = (
    kind(
        "date", pa.date32(),
        v("1970-01-01", 0), v("2026-01-02", 20_455), v(f"{_FIRST} BC", _FIRST_DAY), v(_LAST, _LAST_DAY),
        v("0001-12-31 BC", -719_163), v("0001-01-01", -719_162), v("10000-01-01", 2_932_897),
        v("infinity", Unfit("infinity")), v("-infinity", Unfit("infinity")),
    ),
    kind(
        "timestamp", pa.timestamp("us"),
        v("1970-01-01 00:00:00", 0), v("1969-12-31 23:59:59.999999", -1),
        v("2026-01-02 03:04:05.6", 1_767_323_045_600_000), v(f"{_FIRST} 00:00:00 BC", _FIRST_US),
        v("294247-01-10 04:00:54.775807", _LAST_US),
        v("294276-12-31 23:59:59.999999", Unfit("beyond")),
        v("0001-12-31 23:59:59 BC", -719_162 * _DAY - 1_000_000),
        v("infinity", Unfit("infinity")), v("-infinity", Unfit("infinity")),
    ),
    kind(
        "timestamptz", pa.timestamp("us", "UTC"),
        v("1970-01-01 00:00:00+00", 0), v("2026-01-02 03:04:05.6+02", 1_767_315_845_600_000, "2026-01-02 01:04:05.6+00"),
        v("2026-01-02 03:04:05+05:45", 1_767_302_345_000_000, "2026-01-01 21:19:05+00"),
        v(f"{_FIRST} 00:00:00+00 BC", _FIRST_US),
        v("294247-01-10 04:00:54.775807+00", _LAST_US),
        v("294276-12-31 23:59:59.999999+00", Unfit("beyond")),
        v("infinity", Unfit("infinity")), v("-infinity", Unfit("infinity")),
    ),
    kind(
        "time", pa.time64("us"),
        v("00:00:00", 0), v("23:59:59.999999", _DAY - 1), v("12:00:00.5", 43_200_500_000), v("24:00:00", Unfit("24:00")),
    ),
    texts("timetz", "00:00:00+00", "24:00:00-15:59", "03:04:05.6+02", "01:02:03+05:45:30"),
    texts(
        "interval", "00:00:00", ("1 year 2 months -3 days 4:05:06.789", "1 year 2 mons -3 days +04:05:06.789"),
        "-178000000 years", "178000000 years", "00:00:00.000001", "-00:00:00.000001", ("P1M30D", "1 mon 30 days"), "infinity", "-infinity",
    ),
)  # fmt: skip

NETWORK = (
    texts("inet", "10.0.0.1", "10.0.0.1/8", "::1", ("::ffff:1.2.3.4/128", "::ffff:1.2.3.4"), "fe80::/10"),
    texts("cidr", ("10", "10.0.0.0/8"), "10.0.0.1/32", "::/0"),
    texts("macaddr", ("08-00-2b-01-02-03", "08:00:2b:01:02:03")),
    texts("macaddr8", "08:00:2b:ff:fe:01:02:03"),
    texts("point", "(1,2.5)", "(Infinity,NaN)", "(1e-300,-0)"),
    texts("line", "{1,-1,0}"),
    texts("lseg", "[(1,2),(3,4)]"),
    texts("box", ("(1,2),(3,4)", "(3,4),(1,2)")),
    texts("path", "((1,2),(3,4))", "[(1,2),(3,4)]"),
    texts("polygon", "((1,2),(3,4),(5,0))"),
    texts("circle", "<(1,2),3.5>"),
)  # fmt: skip

RANGES = (
    texts("int4range", "empty", "(,)", ("[1,5]", "[1,6)"), ("(,2147483647)", "(,2147483647)")),
    texts("int8range", "[-9223372036854775808,1)"),
    texts("numrange", "[1.10,2.50]", "(0,NaN)"),
    texts("daterange", "[2026-01-01,infinity)", "[0044-03-15 BC,)".replace("[0044-03-15 BC", '["0044-03-15 BC"'), "(,infinity)"),
    texts("tsrange", '["2026-01-01 00:00:00",infinity]'),
    texts("tstzrange", '["2026-01-01 00:00:00+00",)'),
    texts("int4multirange", "{}", ("{[1,3],[7,8)}", "{[1,4),[7,8)}")),
    texts("int8multirange", "{[1,3)}"),
    texts("nummultirange", "{[1.0,3.5]}"),
    texts("datemultirange", "{[2026-01-01,2026-02-01)}"),
    texts("tsmultirange", '{["2026-01-01 00:00:00","2026-02-01 00:00:00")}'),
    texts("tstzmultirange", '{["2026-01-01 00:00:00+00",)}'),
)  # fmt: skip

SYSTEM = (
    texts("xid", "4294967295"),
    texts("cid", "4294967295"),
    texts("xid8", "18446744073709551615"),
    texts("tid", "(4294967295,65535)"),
    texts("pg_lsn", "0/0", "FFFFFFFF/FFFFFFFF"),
    texts("pg_snapshot", "10:20:10,14"),
    texts("txid_snapshot", "10:20:10,14"),
    # no such thing, and one that is not there
    texts("regclass", "pg_class", "-", "4294967290"),
    texts("regtype", "integer", "-"),
    texts("regproc", "now"),
    texts("regprocedure", "sum(integer)"),
    texts("regoper", "||/"),
    texts("regoperator", "+(integer,integer)"),
    texts("regrole", "postgres"),
    texts("regnamespace", "pg_catalog"),
    texts("regconfig", "english"),
    texts("regdictionary", "simple"),
    texts("regcollation", '"C"'),
    texts("aclitem", "postgres=r/postgres"),
    texts("int2vector", "1 -2 3", ""),
    texts("oidvector", "1 4294967295", ""),
    # these cannot be put in
    texts("gtsvector"),
    texts("pg_node_tree"),
    texts("pg_ndistinct", ("(SELECT stxdndistinct FROM pg_statistic_ext_data)", '{"1, 2": 2}')),
    texts("pg_dependencies", ("(SELECT stxddependencies FROM pg_statistic_ext_data)", '{"1 => 2": 1.000000, "2 => 1": 1.000000}')),
    texts("pg_mcv_list"),
    texts("pg_brin_bloom_summary"),
    texts("pg_brin_minmax_multi_summary"),
)  # fmt: skip

ARRAYS = (
    kind(
        "int4[]", pa.list_(pa.int32()),
        v("{}", []), v("{1,NULL,-2147483648}", [1, None, -(2**31)]), v("{NULL}", [None]),
        # the first element's number is lost
        v("[0:1]={1,2}", [1, 2]), v("{{1,2},{3,4}}", Unfit("dimensions")),
    ),
    kind(
        "int4[][]", pa.list_(pa.list_(pa.int32())),
        v("{}", []), v("{{1,2},{3,NULL},{5,6}}", [[1, 2], [3, None], [5, 6]]), v("{{7}}", [[7]]),
        # the server does not hold columns to how they were declared
        v("{1,2}", Unfit("dimensions")), v("{{{1}}}", Unfit("dimensions")), name="int4[]",
    ),
    kind("text[][][]", pa.list_(pa.list_(pa.list_(TEXT))), v('{{{a,""},{NULL,b}}}', [[["a", ""], [None, "b"]]]), name="text[]"),
    kind("uuid[][]", pa.list_(pa.list_(TEXT)), v("{{00000000-0000-0000-0000-000000000001}}", [["00000000-0000-0000-0000-000000000001"]]), name="uuid[]"),
    kind("numeric(6,2)[][]", pa.list_(pa.list_(pa.decimal128(6, 2))), v("{{1.50},{NULL}}", [["1.50"], [None]]), name="numeric[]"),
    kind("bool[]", pa.list_(pa.bool_()), v("{t,f,NULL}", [True, False, None])),
    kind("int2[]", pa.list_(pa.int16()), v("{-32768}", [-(2**15)])),
    kind("int8[]", pa.list_(pa.int64()), v("{9223372036854775807}", [2**63 - 1])),
    kind("float8[]", pa.list_(pa.float64()), v("{0.1,NaN,-Infinity}", [0.1, float("nan"), float("-inf")])),
    kind("float4[]", pa.list_(pa.float32()), v("{0.5,NULL}", [0.5, None])),
    kind(
        "text[]", pa.list_(TEXT), v("{}", []),
        v('{"",NULL,"NULL","a,\\"b\\"","c\\\\","two\nlines"}', ["", None, "NULL", 'a,"b"', "c\\", "two\nlines"]),
        v("{{a},{b}}", Unfit("dimensions")),
    ),
    kind("varchar(2)[]", pa.list_(TEXT), v("{ab}", ["ab"]), name="varchar[]"),
    kind("bpchar(3)[]", pa.list_(TEXT), v("{a}", ["a  "], '{"a  "}'), name="bpchar[]"),
    kind("numeric(6,2)[]", pa.list_(pa.decimal128(6, 2)), v("{1.50,NULL}", ["1.50", None]), v("{NaN}", Unfit("NaN")), name="numeric[]"),
    kind("numeric[]", pa.list_(TEXT), v("{1.10,NaN}", ["1.10", "NaN"])),
    kind("date[]", pa.list_(pa.date32()), v("{1970-01-02,NULL}", [1, None]), v("{infinity}", Unfit("infinity"))),
    kind("timestamp[]", pa.list_(pa.timestamp("us")), v('{"1970-01-01 00:00:01"}', [1_000_000])),
    kind("timestamptz[]", pa.list_(pa.timestamp("us", "UTC")), v('{"1970-01-01 00:00:01+00"}', [1_000_000]), v("{-infinity}", Unfit("infinity"))),
    kind("time[]", pa.list_(pa.time64("us")), v("{00:00:01}", [1_000_000]), v("{24:00:00}", Unfit("24:00"))),
    kind("bytea[]", pa.list_(pa.binary()), v('{"\\\\x00ff",NULL}', [b"\x00\xff", None])),
    kind("oid[]", pa.list_(pa.int64()), v("{4294967295}", [2**32 - 1])),
    kind("name[]", pa.list_(TEXT), v("{a}", ["a"])),
    kind("json[]", pa.list_(TEXT), v('{"{\\"a\\":  1}"}', ['{"a":  1}'])),
    kind("jsonb[]", pa.list_(TEXT), v('{"{\\"a\\": 1}",NULL}', ['{"a": 1}', None])),
    kind("xml[]", pa.list_(TEXT)),
    kind("uuid[]", pa.list_(TEXT), v("{00000000-0000-0000-0000-000000000001}", ["00000000-0000-0000-0000-000000000001"]), v("{{00000000-0000-0000-0000-000000000001}}", Unfit("dimensions"))),
    kind("inet[]", pa.list_(TEXT), v("{10.0.0.1,10.0.0.1/8,NULL}", ["10.0.0.1", "10.0.0.1/8", None])),
    kind("interval[]", pa.list_(TEXT), v('{"1 mon",infinity}', ["1 mon", "infinity"])),
    # the only built-in type whose arrays have no commas
    kind("box[]", pa.list_(TEXT), v("{(3,4),(1,2);NULL}", ["(3,4),(1,2)", None])),
    kind("int4range[]", pa.list_(TEXT), v('{"[1,2)",empty}', ["[1,2)", "empty"])),
    kind("int2vector[]", pa.list_(TEXT), v('{"1 2"}', ["1 2"])),
    kind("mood[]", pa.list_(TEXT), v("{sad,NULL}", ["sad", None])),
    kind("pair[]", pa.list_(TEXT), v('{"(1,a)","(,)"}', ["(1,a)", "(,)"])),
    kind("price[]", pa.list_(TEXT), v("{1.50}", ["1.50"])),
)  # fmt: skip

# enums, composites, domains, ranges and extensions' types of a user's own
OWN = (
    texts("mood", "sad", "it's \"fine\", so"),
    texts("pair", '(1,"x ""y"", z")', "(,)", '(1,"")'),
    texts("nest", ('("(1,a)",{},2026-01-02 03:04:05+00)', '("(1,a)",{},"2026-01-02 03:04:05+00")')),
    texts("floats", "[0.1,0.30000000000000004)"),
    texts("vector(3)", "[1,2.5,-3]"),
    # the server tells of a domain what it is made of
    kind("positive", pa.int32(), v("1", 1), v("2147483647", 2**31 - 1), name="int4"),
    kind("small", pa.int32(), v("9", 9), name="int4"),
    kind("price", pa.decimal128(8, 2), v("123456.78", "123456.78"), v("NaN", Unfit("NaN")), name="numeric"),
    kind("cost", pa.decimal128(8, 2), v("0.01", "0.01"), name="numeric"),
    kind("tags", pa.list_(TEXT), v("{a,NULL}", ["a", None]), name="text[]"),
    kind("always", pa.bool_(), v("t", True, "true"), name="bool"),
)  # fmt: skip

KINDS = (*NUMBERS, *STRINGS, *TIMES, *NETWORK, *RANGES, *SYSTEM, *ARRAYS, *OWN)
