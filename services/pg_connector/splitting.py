"""Whether a query scans one table row by row, so that its rows may be read in ranges of the table's
blocks; decided on its parse tree, failing closed."""

from dataclasses import dataclass
from functools import lru_cache

import pglast
from pglast import ast
from pglast.enums import SetOperation
from pglast.parser import ParseError, scan

from services.pg_connector.trees import walk

# What is made of these looks at one row at a time: nothing counts, sorts or groups. Calls are left
# out, since an aggregate looks like any other.
_BY_ROW = (
    ast.SelectStmt, ast.RangeVar, ast.Alias, ast.ResTarget, ast.ColumnRef, ast.A_Star, ast.A_Const,
    ast.A_Expr, ast.BoolExpr, ast.NullTest, ast.BooleanTest, ast.TypeCast, ast.TypeName, ast.String,
    ast.Integer, ast.Float, ast.Boolean,
)  # fmt: skip
_MAY_HAVE = ("targetList", "fromClause", "whereClause", "op", "limitOption")


@dataclass(frozen=True)
class Scan:
    """`relation` as to_regclass takes it."""

    relation: str
    _table: str
    _head: str
    _condition: str

    def blocks(self, first: int, end: int | None) -> str:
        """The query on the blocks from `first` on and before `end`; None = to the table's end."""
        ctid = f"{self._table}.ctid"
        within = f"{ctid} >= '({first},0)'::pg_catalog.tid"
        if end is not None:
            within += f" AND {ctid} < '({end},0)'::pg_catalog.tid"
        if not self._condition:
            return f"{self._head}\nWHERE {within}"
        return f"{self._head} ({self._condition}\n) AND {within}"

    def ranges(self, blocks: int, count: int) -> list[str]:
        """The query in so many pieces of about the same size; together they give each row once,
        also of blocks that are added meanwhile."""
        bounds = [blocks * number // count for number in range(count)]
        return [
            self.blocks(first, end) for first, end in zip(bounds, [*bounds[1:], None], strict=True)
        ]


@lru_cache(maxsize=64)
def scan_of(sql: str) -> Scan | None:
    """Of one statement without what follows it; None where it may not be split."""
    try:
        (raw,) = pglast.parse_sql(sql)
    except (ParseError, ValueError):
        return None
    statement = raw.stmt
    if not isinstance(statement, ast.SelectStmt) or not _is_plain(statement):
        return None
    tokens = scan(sql)
    if tokens[0].name != "SELECT":
        # TABLE takes no WHERE, and parentheses would close behind it
        return None
    (table,) = statement.fromClause or ()
    name = table.alias.aliasname if table.alias else table.relname
    path = [part for part in (table.catalogname, table.schemaname, table.relname) if part]
    relation = ".".join(map(_quoted, path))
    if statement.whereClause is None:
        return Scan(relation, _quoted(name), sql, "")
    (where,) = [token.end + 1 for token in tokens if token.name == "WHERE"]
    return Scan(relation, _quoted(name), sql[:where], sql[where:])


def _is_plain(statement: ast.SelectStmt) -> bool:
    others = [name for name in statement if name not in _MAY_HAVE and getattr(statement, name)]
    if others or statement.op != SetOperation.SETOP_NONE or not statement.targetList:
        return False
    tables = statement.fromClause or ()
    if len(tables) != 1 or not isinstance(tables[0], ast.RangeVar):
        return False
    nodes = [node for node, _ in walk(statement)]
    once = sum(isinstance(node, ast.SelectStmt) for node in nodes) == 1
    return once and all(isinstance(node, _BY_ROW) for node in nodes)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
