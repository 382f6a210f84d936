"""The database's own objects behind what a statement names, as its catalog tells them.

Objects with numbers below 16384 came with the server (FirstNormalObjectId in access/transam.h).
Those that are known to be harmless by that and by their volatility are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.pg_connector.mentions import Mention
from services.pg_connector.reading import Reading

_OWN = 16384
_WANTED = """
WITH RECURSIVE wanted AS (
    SELECT * FROM ROWS FROM (
        pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])
    ) AS w(kind, schema, name)),
path AS (SELECT pg_catalog.current_schemas(true) AS schemas),
reach AS (
    SELECT n.oid AS namespace, w.* FROM wanted w CROSS JOIN path
    JOIN pg_catalog.pg_namespace n
      ON CASE w.schema WHEN '' THEN n.nspname = ANY (path.schemas) WHEN '*' THEN true
              ELSE n.nspname = w.schema END),
"""
# the elements, base, columns and bounds of types t that are not the server's own
_MADE_OF = f"""
    JOIN pg_catalog.pg_type y ON y.oid = t.oid
    CROSS JOIN LATERAL (
        SELECT y.typelem UNION SELECT y.typbasetype
        UNION SELECT a.atttypid FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION SELECT r.rngsubtype FROM pg_catalog.pg_range r
              WHERE r.rngtypid = y.oid OR r.rngmultitypid = y.oid) AS more(oid)
    WHERE more.oid >= {_OWN}
"""  # noqa: S608
# relations with their columns' types; types by name with what they are made of
_TYPES = f"""
relations AS (
    SELECT w.kind, w.schema, w.name, c.oid, c.relkind, c.relrowsecurity, c.relnamespace, c.relname
    FROM reach w JOIN pg_catalog.pg_class c ON c.relnamespace = w.namespace AND c.relname = w.name
    WHERE w.kind = 'relation' AND c.oid >= {_OWN}),
types AS (
    SELECT w.kind, w.schema, w.name, t.oid FROM reach w
    JOIN pg_catalog.pg_type t ON t.typnamespace = w.namespace AND t.typname = w.name
    WHERE w.kind = 'type' AND t.oid >= {_OWN}
  UNION
    SELECT w.kind, w.schema, w.name, a.t FROM reach w
    JOIN pg_catalog.pg_proc p ON p.pronamespace = w.namespace AND p.proname = w.name
    CROSS JOIN LATERAL pg_catalog.unnest(
        coalesce(p.proallargtypes, p.proargtypes::pg_catalog.oid[]) || p.prorettype) AS a(t)
    WHERE w.kind IN ('function', 'attribute') AND p.oid >= {_OWN} AND a.t >= {_OWN}
  UNION
    SELECT r.kind, r.schema, r.name, a.atttypid FROM relations r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.atttypid >= {_OWN} AND EXISTS (
        SELECT FROM wanted w WHERE w.name ~ 'populate_record' OR w.name = '#=')
  UNION
    SELECT t.kind, t.schema, t.name, more.oid FROM types t
    {_MADE_OF}),
"""  # noqa: S608
# `touched` = types of values that may come up: a cast from any other cannot be meant. What makes
# values from JSON or hstore by the type of a row runs the input of the row's types.
_FUNCTIONS = f"""
touched AS (
    SELECT kind, schema, name, oid FROM types
  UNION
    SELECT r.kind, r.schema, r.name, a.atttypid FROM relations r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.atttypid >= {_OWN}
  UNION
    SELECT t.kind, t.schema, t.name, more.oid FROM touched t
    {_MADE_OF}),
functions AS (
    SELECT w.kind, w.schema, w.name, p.oid FROM reach w
    JOIN pg_catalog.pg_proc p ON p.pronamespace = w.namespace AND p.proname = w.name
    WHERE w.kind IN ('function', 'attribute')
  UNION
    SELECT w.kind, w.schema, w.name, o.oprcode FROM reach w
    JOIN pg_catalog.pg_operator o ON o.oprnamespace = w.namespace AND o.oprname = w.name
    WHERE w.kind = 'operator' AND o.oid >= {_OWN}
      AND ($4::boolean OR o.oprleft < {_OWN} AND o.oprright < {_OWN}
           OR o.oprleft IN (SELECT oid FROM touched) OR o.oprright IN (SELECT oid FROM touched))
  UNION
    SELECT t.kind, t.schema, t.name, k.castfunc FROM types t
    JOIN pg_catalog.pg_cast k ON k.casttarget = t.oid
    WHERE k.oid >= {_OWN} AND k.castfunc <> 0
  UNION
    SELECT w.kind, w.schema, w.name, k.castfunc FROM reach w
    JOIN pg_catalog.pg_type t ON t.typnamespace = w.namespace AND t.typname = w.name
    JOIN pg_catalog.pg_cast k ON k.casttarget = t.oid
      AND ($4::boolean OR k.castsource IN (SELECT oid FROM touched))
    WHERE w.kind = 'type' AND k.oid >= {_OWN} AND k.castfunc <> 0
  UNION
    SELECT t.kind, t.schema, t.name, k.castfunc FROM touched t
    JOIN pg_catalog.pg_cast k ON t.oid IN (k.castsource, k.casttarget)
      AND k.castcontext = 'i'
    WHERE k.oid >= {_OWN} AND k.castfunc <> 0
  UNION
    SELECT t.kind, t.schema, t.name, f.oid FROM types t
    JOIN pg_catalog.pg_type y ON y.oid = t.oid AND y.typtype = 'b' AND y.typcategory <> 'A'
    CROSS JOIN LATERAL pg_catalog.unnest(
        ARRAY[y.typinput, y.typoutput, y.typsend, y.typmodin]::pg_catalog.oid[]) AS f(oid)),
parts AS (
    SELECT f.kind, f.schema, f.name, f.oid FROM functions f
  UNION
    SELECT f.kind, f.schema, f.name, part.oid FROM functions f
    JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = f.oid AND f.oid >= {_OWN}
    CROSS JOIN LATERAL pg_catalog.unnest(
        ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
              g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::pg_catalog.oid[]) AS part(oid))
"""  # noqa: S608
_FOUND = f"""
SELECT f.kind, f.schema, f.name, 'function' AS what, p.oid::int8 AS oid,
       n.nspname || '.' || p.proname AS told, p.proname AS own_name,
       p.prokind::text AS prokind, p.provolatile::text AS volatility, p.prosecdef AS definer,
       l.lanname AS language, p.pronargs - p.pronargdefaults AS fewest,
       CASE WHEN p.provariadic <> 0 THEN 1000 ELSE p.pronargs END AS most,
       'pg_catalog.cstring'::pg_catalog.regtype = ANY (p.proargtypes) AS raw,
       EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e'
               AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass) AS of_extension,
       EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) c WHERE c LIKE 'search\\_path=%')
         AS own_path,
       CASE WHEN p.oid >= {_OWN} AND p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
            THEN pg_catalog.pg_get_functiondef(p.oid) END AS text
FROM parts f JOIN pg_catalog.pg_proc p ON p.oid = f.oid
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= {_OWN} OR p.provolatile = 'v'
   OR 'pg_catalog.cstring'::pg_catalog.regtype = ANY (p.proargtypes)
UNION ALL
SELECT r.kind, r.schema, r.name, 'view', r.oid::int8, n.nspname || '.' || r.relname, r.relname,
       '', '', false, '', 0, 0, false, false, false, pg_catalog.pg_get_viewdef(r.oid)
FROM relations r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE r.relkind = 'v' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.objid = r.oid AND d.deptype = 'e'
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
UNION ALL
SELECT r.kind, r.schema, r.name, 'policy', y.oid::int8, r.relname || '.' || y.polname, y.polname,
       '', '', false, '', 0, 0, false, false, false,
       'SELECT ' || pg_catalog.pg_get_expr(y.polqual, y.polrelid)
FROM relations r JOIN pg_catalog.pg_policy y ON y.polrelid = r.oid
WHERE y.polcmd IN ('r', '*') AND y.polqual IS NOT NULL AND r.relrowsecurity
  AND pg_catalog.row_security_active(r.oid)
UNION ALL
SELECT t.kind, t.schema, t.name, 'check', k.oid::int8, pg_catalog.format_type(t.oid, -1),
       k.conname, '', '', false, '', 0, 0, false, false, false,
       pg_catalog.pg_get_constraintdef(k.oid)
FROM types t JOIN pg_catalog.pg_constraint k ON k.contypid = t.oid AND k.contype = 'c'
"""  # noqa: S608
_SQL = _WANTED + _TYPES + _FUNCTIONS + _FOUND

Key = tuple[str, str, str]
# in place of a schema: the name may be found in any
ANYWHERE = "*"


@dataclass(frozen=True)
class Named:
    """One object: a function, or the text of a view, a policy or a domain's check."""

    # what was asked for: kind, schema, name
    key: Key
    what: str
    oid: int
    told: str
    own_name: str
    prokind: str
    volatility: str
    definer: bool
    language: str
    # how many arguments it takes
    fewest: int
    most: int
    # whether one of them is of type cstring
    raw: bool
    of_extension: bool
    own_path: bool
    text: str

    @property
    def of_server(self) -> bool:
        return self.oid < _OWN


def key_of(mention: Mention) -> Key:
    return mention.kind.value, mention.schema, mention.name


async def named(
    reading: Reading, keys: Iterable[Key], *, of_any_type: bool = False
) -> Sequence[Named]:
    """`of_any_type` = operators and casts for values of all types, not only of those that the keys
    lead to. Raises PgFault."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    kinds, schemas, names = (list(part) for part in zip(*wanted, strict=True))
    return [_named(row) for row in await reading.fetch(_SQL, kinds, schemas, names, of_any_type)]


def _named(row: Any) -> Named:
    fields = dict(row)
    key = (fields.pop("kind"), fields.pop("schema"), fields.pop("name"))
    return Named(key=key, **{**fields, "text": fields["text"] or ""})
