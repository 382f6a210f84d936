"""How many digits the numerics of a query have and how many dimensions its arrays, which the client
library keeps to itself.

The server tells by the plan that it makes: a column of the result that comes as it is from a
relation has the digits of that column, and one that was cast last has those of the cast. All others
(sums, quotients) have none that are bound.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.pg_connector.errors import PgFault
from services.pg_connector.reading import Reading

_NAME = r'("(?:[^"]|"")+"|[^\W\d][\w$]*)'
_COLUMN = re.compile(rf"(?:{_NAME}\.)?{_NAME}")
# An operator's operands stand in parentheses with it, so what ends like this is the cast itself.
_CAST = re.compile(r".*::(numeric\(\d+,-?\d+\)(?:\[\])?)", re.DOTALL)

_GENERIC_SINCE = 16
_PARENTHESIS = re.compile(r"""[()]|'(?:[^']|'')*'|"(?:[^"]|"")*\"""")

# domains by what they are made of, as the server tells them in results
_DIGITS = """
SELECT based.told || pg_catalog.repeat('[]', a.attndims - 1) AS told
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(schema, relation, name, place)
LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name
LEFT JOIN LATERAL (
    WITH RECURSIVE based(type, mod) AS (
        SELECT a.atttypid, a.atttypmod
        UNION ALL
        SELECT t.typbasetype, t.typtypmod FROM based b
        JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'd')
    SELECT pg_catalog.format_type(b.type, b.mod) AS told FROM based b
    JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd') based ON true
ORDER BY w.place
"""


@dataclass(frozen=True)
class Origin:
    """A column of the result: where it comes from, or its type where the plan says that."""

    schema: str = ""
    relation: str = ""
    column: str = ""
    told: str = ""


async def declared(reading: Reading, sql: str, arguments: Sequence[Any] = ()) -> list[str]:
    """For each column of the result "numeric(12,2)", or "" where nothing is known. The query is
    planned, not run. Raises what ends the whole call: RevokedGrant, QueryTimeout, a lost server."""
    await reading.run(reading.connection.execute("SAVEPOINT planned"))
    try:
        plan = await _plan(reading, sql, arguments)
    finally:
        # released too: no snapshot can be exported within a savepoint
        ended = "ROLLBACK TO SAVEPOINT planned; RELEASE SAVEPOINT planned"
        await reading.run(reading.connection.execute(ended))
    found = origins(plan) if plan else []
    return await _digits(reading, found) if found else []


async def _plan(reading: Reading, sql: str, arguments: Sequence[Any]) -> Mapping[str, Any]:
    # planned for any arguments, so that the types do not depend on them
    generic = bool(arguments) and reading.connection.get_server_version().major >= _GENERIC_SINCE
    options = f"VERBOSE, FORMAT JSON{', GENERIC_PLAN' if generic else ''}"
    try:
        rows = await reading.fetch(f"EXPLAIN ({options}) {sql}", *arguments)
    except PgFault:
        # a query that cannot even be planned fails by itself, with its own position, soon
        return {}
    plan: Mapping[str, Any] = json.loads(rows[0][0])[0].get("Plan", {})
    return plan


async def _digits(reading: Reading, found: Sequence[Origin]) -> list[str]:
    schemas = [origin.schema for origin in found]
    relations = [origin.relation for origin in found]
    names = [origin.column for origin in found]
    rows = await reading.fetch(_DIGITS, schemas, relations, names)
    return [origin.told or row["told"] or "" for origin, row in zip(found, rows, strict=True)]


def origins(plan: Mapping[str, Any]) -> list[Origin]:
    """Of what the topmost node gives; those that are only sorted by come last."""
    named = [node for node in _nodes(plan) if "Alias" in node]
    relations = {
        node["Alias"]: (node["Schema"], node["Relation Name"])
        for node in named
        if "Relation Name" in node and "Schema" in node
    }
    # The partitions of a table t are called t_1, t_2 …, and no node is called t; where one is, it
    # is a subquery, say, and t_1 has nothing to do with it.
    taken = {node["Alias"] for node in named}
    for alias, place in list(relations.items()):
        if alias.endswith("_1") and alias[:-2] not in taken:
            relations[alias[:-2]] = place
    return [_origin(text, relations) for text in plan.get("Output", ())]


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.get("Plans", ()))


def _origin(text: str, relations: Mapping[str, tuple[str, str]]) -> Origin:
    text = _unwrapped(text)
    if cast := _CAST.fullmatch(text):
        return Origin(told=cast[1])
    column = _COLUMN.fullmatch(text)
    if column is None:
        return Origin()
    place = relations.get(_bare(column[1])) if column[1] else _only(relations)
    return Origin(*place, _bare(column[2])) if place else Origin()


def _only(relations: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """Of a query on a single relation the server names the columns alone."""
    places = set(relations.values())
    return places.pop() if len(places) == 1 else None


def _unwrapped(text: str) -> str:
    """What a node takes over from the one beneath stands in parentheses."""
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1]
    return text


def _closing(text: str) -> int:
    """Where the parenthesis closes that the text begins with; quoted ones do not count."""
    depth = 0
    for part in _PARENTHESIS.finditer(text):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if depth == 0:
            return part.start()
    return -1


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
