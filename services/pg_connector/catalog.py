"""What a database holds, from its catalogs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.pg_connector.reading import Reading

_KINDS = "'r', 'v', 'm', 'p', 'f'"

# What everybody may look through but nobody keeps data in is left out.
_SCHEMAS = """
SELECT n.nspname AS name, pg_catalog.obj_description(n.oid, 'pg_namespace') AS comment,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS readable
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (pg_catalog.cardinality($1::text[]) = 0 OR n.nspname = ANY ($1::text[]))
  AND n.nspname COLLATE "C" > $2
ORDER BY n.nspname COLLATE "C" LIMIT $3
"""
_RELATION = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid)
            WHEN c.relkind = 'p' THEN parts.size_bytes END AS size_bytes,
       CASE WHEN c.relkind = 'p' THEN coalesce(parts.rows, nullif(c.reltuples, -1))::bigint
            WHEN c.reltuples >= 0 AND c.relkind <> 'v'
            THEN c.reltuples::bigint END AS row_estimate,
       pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
         AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AS readable
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT sum(pg_catalog.pg_total_relation_size(leaf.oid))::bigint AS size_bytes,
           CASE WHEN pg_catalog.bool_and(leaf.reltuples >= 0) THEN sum(leaf.reltuples) END AS rows
    FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class leaf ON leaf.oid = t.relid
    WHERE t.isleaf) parts ON c.relkind = 'p'
"""
# $3: a regular expression over "schema.name"
_RELATIONS = f"""{_RELATION}
WHERE c.relkind IN ({_KINDS}) AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (pg_catalog.cardinality($1::text[]) = 0 OR n.nspname = ANY ($1::text[]))
  AND (n.nspname || '.' || c.relname) COLLATE "C" > $2
  AND (n.nspname || '.' || c.relname) ~ $3
ORDER BY (n.nspname || '.' || c.relname) COLLATE "C" LIMIT $4
"""
_FIND = f"""{_RELATION}
WHERE c.relkind IN ({_KINDS})
  AND (n.nspname || '.' || c.relname = $1
       OR (c.relname = $1 AND pg_catalog.pg_table_is_visible(c.oid)))
ORDER BY n.nspname || '.' || c.relname <> $1 LIMIT 1
"""
_COLUMNS = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS fallback,
       pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       pg_catalog.format_type(based.type, based.mod)
         || pg_catalog.repeat('[]', a.attndims - 1) AS base_type,
       coalesce(e.typname || '[]', b.typname) AS kind, n.nspname AS kind_schema
FROM pg_catalog.pg_attribute a
JOIN LATERAL (
    -- a domain may be one over another
    WITH RECURSIVE based(type, mod) AS (
        SELECT a.atttypid, a.atttypmod
        UNION ALL
        SELECT t.typbasetype, t.typtypmod FROM based
        JOIN pg_catalog.pg_type t ON t.oid = based.type AND t.typtype = 'd')
    SELECT type, mod FROM based) based ON true
JOIN pg_catalog.pg_type b ON b.oid = based.type AND b.typtype <> 'd'
JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.typarray = b.oid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
SELECT k.conname AS name, k.contype::text AS kind, pg_catalog.pg_get_constraintdef(k.oid) AS text,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(n, i)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n
             ORDER BY u.i) AS columns,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(n, i)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n
             ORDER BY u.i) AS far_columns,
       (SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = k.conrelid) AS near,
       (SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = k.confrelid) AS far,
       k.conrelid = $1::oid AS own
FROM pg_catalog.pg_constraint k
WHERE (k.conrelid = $1::oid OR (k.confrelid = $1::oid AND k.contype = 'f'))
  AND k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0
ORDER BY k.conrelid <> $1::oid, k.contype, k.conname
"""
_INDEXES = """
SELECT c.relname AS name, i.indisunique AS is_unique, pg_catalog.pg_get_indexdef(c.oid) AS text,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(c.oid, g, true)
             FROM pg_catalog.generate_series(1, i.indnkeyatts) g) AS columns
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::oid AND i.indisvalid ORDER BY c.relname
"""
_DEFINITION = """
SELECT CASE c.relkind WHEN 'p' THEN 'PARTITION BY ' || pg_catalog.pg_get_partkeydef(c.oid)
       ELSE pg_catalog.pg_get_viewdef(c.oid, true) END AS text
FROM pg_catalog.pg_class c WHERE c.oid = $1::oid
"""
_PARTITIONS = """
SELECT n.nspname || '.' || c.relname AS path FROM pg_catalog.pg_inherits h
JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE h.inhparent = $1::oid ORDER BY 1 LIMIT 1000
"""
_STATISTICS = """
SELECT attname AS name, null_frac::float8 AS nulls, n_distinct::float8 AS different,
       most_common_vals::text::text[] AS common, most_common_freqs::float8[] AS fractions,
       histogram_bounds::text::text[] AS bounds
FROM pg_catalog.pg_stats
WHERE schemaname = $1 AND tablename = $2
ORDER BY attname, inherited
"""
# Columns whose least and greatest values an index gives at once: the first of a whole btree, of the
# server's own types that are ordered as people expect.
_ORDERED = """
SELECT DISTINCT a.attname AS name FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typtype = 'b'
WHERE i.indrelid = $1::oid AND i.indisvalid AND i.indpred IS NULL
  AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typcategory IN ('N', 'D', 'S')
  AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') ORDER BY 1
"""
VIEWS = frozenset({"v", "m"})
_PARTITIONED = "p"
_PICKS = ("min", "max")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Relation:
    oid: int
    schema: str
    name: str
    row: Row

    @property
    def path(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def kind(self) -> str:
        return str(self.row["kind"])

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def spelled(path: str) -> str:
    """`"My Schema"."T"` as My Schema.T; a path without quotes as it is."""
    parts = re.fullmatch(r'"((?:[^"]|"")+)"(?:\."((?:[^"]|"")+)")?', path)
    if parts is None:
        return path
    return ".".join(part.replace('""', '"') for part in parts.groups() if part)


def regex_of(glob: str) -> str:
    """For PostgreSQL's own regular expressions. * and ? do not cross the dot between schema and
    name unless the pattern has none: then it is over names."""
    marks = {"*": "[^.]*", "?": "[^.]"}
    body = "".join(marks.get(c) or re.sub(r"([^\w])", r"\\\1", c) for c in glob)
    body = body.replace("[^.]*[^.]*", ".*")
    return f"^{body}$" if "." in glob or "**" in glob else f"^[^.]*\\.{body}$"


async def schemas(
    reading: Reading, names: Sequence[str], *, after: str, limit: int
) -> Sequence[Row]:
    return await reading.fetch(_SCHEMAS, list(names), after, limit)


async def relations(
    reading: Reading, names: Sequence[str], *, pattern: str, after: str, limit: int
) -> Sequence[Relation]:
    rows = await reading.fetch(_RELATIONS, list(names), after, pattern, limit)
    return [_relation(row) for row in rows]


async def has_schema(reading: Reading, name: str) -> bool:
    rows = await reading.fetch("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", name)
    return bool(rows)


async def find(reading: Reading, path: str) -> Relation | None:
    """By "schema.name", or by a name that the search path finds."""
    rows = await reading.fetch(_FIND, spelled(path))
    return _relation(rows[0]) if rows else None


def _relation(row: Row) -> Relation:
    return Relation(row["oid"], row["schema"], row["name"], row)


async def columns(reading: Reading, relation: Relation) -> Sequence[Row]:
    return await reading.fetch(_COLUMNS, relation.oid)


async def constraints(reading: Reading, relation: Relation) -> Sequence[Row]:
    return await reading.fetch(_CONSTRAINTS, relation.oid)


async def indexes(reading: Reading, relation: Relation) -> Sequence[Row]:
    return await reading.fetch(_INDEXES, relation.oid)


async def definition(reading: Reading, relation: Relation) -> str:
    """Of a view its query, of a partitioned table its key."""
    if relation.kind not in (*VIEWS, _PARTITIONED):
        return ""
    rows = await reading.fetch(_DEFINITION, relation.oid)
    return str(rows[0]["text"] or "")


async def partitions(reading: Reading, relation: Relation) -> list[str]:
    if relation.kind != _PARTITIONED:
        return []
    return [str(row["path"]) for row in await reading.fetch(_PARTITIONS, relation.oid)]


async def statistics(reading: Reading, relation: Relation) -> Sequence[Row]:
    """What ANALYZE left, of the columns that these credentials may read."""
    return await reading.fetch(_STATISTICS, relation.schema, relation.name)


async def bounds(reading: Reading, relation: Relation) -> dict[str, tuple[str | None, str | None]]:
    """Least and greatest value, as text, of the columns where an index gives them."""
    names = [str(row["name"]) for row in await reading.fetch(_ORDERED, relation.oid)]
    if not names:
        return {}
    wanted = ", ".join(
        f"pg_catalog.{pick}({quoted(name)})::pg_catalog.text" for name in names for pick in _PICKS
    )
    (row,) = await reading.fetch(f"SELECT {wanted} FROM {relation.sql}")  # noqa: S608
    found = list(row.values())
    return dict(zip(names, zip(found[::2], found[1::2], strict=True), strict=True))
