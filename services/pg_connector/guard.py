"""Whether a statement only reads: decided on its parse tree, before the server sees it.

This is the first of two walls. The second is the server's: the statement runs in a READ ONLY
transaction whose snapshot is taken, through the extended protocol, which takes one statement. What
that wall lets pass is what this one is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pglast
from pglast import ast
from pglast.parser import ParseError

from services.pg_connector.denied import is_denied
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly

# Longer ones are programs, and parsing them takes long.
MAX_SQL_CHARS = 256 * 1024
_MAX_DEPTH = 2000
_SYNTAX_ERROR = "42601"
_TOO_COMPLEX = "54001"


@dataclass(frozen=True)
class Relation:
    """A relation as the query names it; `schema` is empty where it names none."""

    schema: str
    name: str
    position: int


@dataclass(frozen=True)
class Statement:
    """A statement that passed."""

    # without what follows it: semicolon and comments
    text: str
    # whether it may stand in FROM (…)
    is_query: bool
    relations: tuple[Relation, ...]


@lru_cache(maxsize=256)
def admit(sql: str) -> Statement:
    """Raises QueryNotReadOnly for what does more than read, QueryFailed for what does not parse."""
    if len(sql) > MAX_SQL_CHARS:
        raise QueryFailed(f"the query is longer than {MAX_SQL_CHARS} characters", sqlstate="54000")
    raw = _only(sql, _parsed(sql))
    inner = _reading(sql, raw.stmt)
    relations = tuple(_checked(sql, inner))
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(sql)
    # what stands before the statement stays, so that positions hold
    return Statement(sql[:end], isinstance(raw.stmt, ast.SelectStmt), relations)


def _parsed(sql: str) -> tuple[ast.RawStmt, ...]:
    nul = sql.find("\0")
    if nul >= 0:
        # the parser and the server would both stop reading there
        raise _unparsable(sql, "the query holds a NUL character", nul + 1)
    try:
        return tuple(pglast.parse_sql(sql))
    except ParseError as exc:
        message, *place = exc.args
        position = place[0] + 1 if place and isinstance(place[0], int) else 0
        raise _unparsable(sql, str(message), position) from exc
    except (RecursionError, UnicodeError, ValueError) as exc:
        raise _too_complex() from exc


def _unparsable(sql: str, message: str, position: int) -> QueryFailed:
    return QueryFailed(message, sqlstate=_SYNTAX_ERROR, sql=sql, position=position)


def _too_complex() -> QueryFailed:
    return QueryFailed("the query is nested too deeply to be read", sqlstate=_TOO_COMPLEX)


def _only(sql: str, statements: tuple[ast.RawStmt, ...]) -> ast.RawStmt:
    if not statements:
        raise QueryFailed("the query is empty", sqlstate=_SYNTAX_ERROR)
    if len(statements) > 1:
        place = statements[1].stmt_location
        place += len(sql[place:]) - len(sql[place:].lstrip("; \t\r\n"))
        raise QueryNotReadOnly(
            "only one statement is run at a time",
            construct="several statements",
            sql=sql,
            position=place + 1,
        )
    return statements[0]


def _reading(sql: str, statement: ast.Node) -> ast.Node:
    """The tree to look through. EXPLAIN ANALYZE runs what it explains, so that must read too."""
    match statement:
        case ast.SelectStmt() | ast.VariableShowStmt():
            return statement
        case ast.ExplainStmt() if isinstance(statement.query, ast.SelectStmt):
            return statement
        case ast.ExplainStmt():
            raise _refused(sql, f"EXPLAIN of {_name(statement.query)}", statement.query)
    raise _refused(sql, _name(statement), statement)


def _checked(sql: str, root: ast.Node) -> Iterator[Relation]:
    for node, ctes in _walk(root):
        if refusal := _refusal(node):
            raise _refused(sql, refusal, node)
        if isinstance(node, ast.RangeVar) and not _is_cte(node, ctes):
            yield Relation(node.schemaname or "", node.relname or "", (node.location or 0) + 1)


def _refusal(node: ast.Node) -> str:
    """What about a node writes, locks or reaches out; "" for the rest."""
    match node:
        case ast.IntoClause():
            return "SELECT INTO"
        case ast.LockingClause():
            return "FOR UPDATE or FOR SHARE"
        case ast.FuncCall():
            return _call(node)
        case ast.A_Indirection():
            return _attribute_call(node)
        case ast.SelectStmt() | ast.ExplainStmt() | ast.VariableShowStmt():
            return ""
    return _name(node) if type(node).__name__.endswith("Stmt") else ""


def _call(call: ast.FuncCall) -> str:
    name = call.funcname[-1].sval
    return f"the function {name}" if is_denied(name) else ""


def _attribute_call(node: ast.A_Indirection) -> str:
    """`(x).fn` is a call of fn where x has no such field."""
    for part in node.indirection or ():
        if isinstance(part, ast.String) and is_denied(part.sval):
            return f"the function {part.sval}"
    return ""


def _refused(sql: str, construct: str, node: ast.Node) -> QueryNotReadOnly:
    position = _position(node)
    return QueryNotReadOnly(
        f"{construct} is not allowed: only reading statements are run",
        construct=construct,
        sql=sql,
        position=position,
    )


def _position(node: ast.Node) -> int:
    """Of the first part that knows its place; 0 = none does."""
    for part, _ in _walk(node):
        location = getattr(part, "location", None)
        if isinstance(location, int) and location >= 0:
            return location + 1
    return 1


_NAMES = {
    "VariableSetStmt": "SET",
    "TransactionStmt": "a transaction statement",
    "CreateTableAsStmt": "CREATE TABLE AS",
    "CreateStmt": "CREATE TABLE",
    "IndexStmt": "CREATE INDEX",
    "ViewStmt": "CREATE VIEW",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
}


def _name(node: ast.Node) -> str:
    """InsertStmt -> INSERT, AlterTableStmt -> ALTER TABLE."""
    kind = type(node).__name__
    if kind in _NAMES:
        return _NAMES[kind]
    words = kind.removesuffix("Stmt")
    return "".join(f" {c}" if c.isupper() and i else c for i, c in enumerate(words)).upper()


_Ctes = frozenset[str]


def _walk(root: ast.Node) -> Iterator[tuple[ast.Node, _Ctes]]:
    """Every node, with the names that WITH clauses above it define. Without recursion: a query may
    be nested deeper than Python's stack."""
    waiting: list[tuple[ast.Node, _Ctes, int]] = [(root, frozenset(), 0)]
    while waiting:
        node, ctes, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise _too_complex()
        ctes |= _defined(node)
        yield node, ctes
        waiting.extend((child, ctes, depth + 1) for child in reversed(list(_children(node))))


def _children(node: ast.Node) -> Iterator[ast.Node]:
    for attribute in node:
        yield from _nodes(getattr(node, attribute))


def _nodes(value: object) -> Iterator[ast.Node]:
    if isinstance(value, ast.Node):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _nodes(item)


def _defined(node: ast.Node) -> _Ctes:
    clause = getattr(node, "withClause", None)
    return frozenset(cte.ctename for cte in clause.ctes) if clause is not None else frozenset()


def _is_cte(node: ast.RangeVar, ctes: _Ctes) -> bool:
    return not node.schemaname and node.relname in ctes
