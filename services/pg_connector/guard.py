"""Whether a statement only reads: decided on its parse tree, before the server sees it.

This is the first of two walls. The second is the server's: the statement runs in a READ ONLY
transaction whose snapshot is taken, through the extended protocol, which takes one statement. What
that wall lets pass is what this one is for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import pglast
from pglast import ast
from pglast.parser import ParseError, Token, scan

from services.pg_connector.denied import holds_credentials, is_denied, is_denied_attribute
from services.pg_connector.errors import QueryFailed, QueryNotReadOnly
from services.pg_connector.mentions import TAKE_TYPE_NAMES, Kind, Mention, mentions_of, named_type
from services.pg_connector.series import MAX_ROWS, too_long
from services.pg_connector.trees import is_cte, position, walk
from services.pg_connector.withheld import REMEDY, withheld

# Longer ones are programs, and parsing them takes long.
MAX_SQL_CHARS = 256 * 1024
# pglast builds its tree by recursion in C: at 14,000 levels it still works on a stack of 8 MiB, at
# 18,000 it ends the process. So many words that may make a level are allowed …
_MAX_LEVELS = 5000
# … and shorter texts cannot hold that many: a level takes two characters at least ("+1").
_SURELY_FLAT_CHARS = 2 * _MAX_LEVELS
_MAX_BRACKETS = 1000
_SYNTAX_ERROR = "42601"
_TOO_COMPLEX = "54001"
_TOO_MANY = "54000"


@dataclass(frozen=True)
class Statement:
    """A statement that passed."""

    # without what follows it: semicolon and comments
    text: str
    # whether it may stand in FROM (…)
    is_query: bool
    # what the server's catalog has to be asked about
    mentions: tuple[Mention, ...]

    @property
    def relations(self) -> tuple[Mention, ...]:
        return tuple(each for each in self.mentions if each.kind == Kind.RELATION)


@lru_cache(maxsize=64)
def admit(sql: str) -> Statement:
    """Raises QueryNotReadOnly for what does more than read, QueryFailed for what does not parse."""
    if len(sql) > MAX_SQL_CHARS:
        raise QueryFailed(f"the query is longer than {MAX_SQL_CHARS} characters", sqlstate="54000")
    raw = _only(sql, _parsed(sql))
    inner = _reading(sql, raw.stmt)
    mentions = tuple(dict.fromkeys(_checked(sql, inner)))
    for node, told in withheld(inner):
        raise _kept_back(sql, told, node)
    for node, rows in too_long(inner):
        raise _endless(sql, rows, node)
    end = (raw.stmt_location or 0) + raw.stmt_len if raw.stmt_len else len(sql)
    # what stands before the statement stays, so that positions hold
    return Statement(sql[:end], isinstance(raw.stmt, ast.SelectStmt), mentions)


def _parsed(sql: str) -> tuple[ast.RawStmt, ...]:
    nul = sql.find("\0")
    if nul >= 0:
        # the parser and the server would both stop reading there
        raise _unparsable(sql, "the query holds a NUL character", nul + 1)
    try:
        if len(sql) > _SURELY_FLAT_CHARS:
            _require_flat(scan(sql))
        return tuple(pglast.parse_sql(sql))
    except ParseError as exc:
        message, *place = exc.args
        position = place[0] + 1 if place and isinstance(place[0], int) else 0
        raise _unparsable(sql, str(message), position) from exc
    except (RecursionError, UnicodeError, ValueError) as exc:
        raise _too_complex() from exc


def _require_flat(tokens: Iterable[Token]) -> None:
    levels = brackets = 0
    for token in tokens:
        levels += _makes_level(token)
        brackets += (token.name in _OPENING) - (token.name in _CLOSING)
        if levels > _MAX_LEVELS or brackets > _MAX_BRACKETS:
            raise _too_complex()


# Constants, names, separators, and what the grammar flattens to a list.
_FLAT = frozenset(
    """
    ICONST FCONST SCONST USCONST BCONST XCONST PARAM IDENT UIDENT NULL_P TRUE_P FALSE_P AND OR
    ASCII_40 ASCII_41 ASCII_44 ASCII_46 ASCII_59 ASCII_91 ASCII_93 SQL_COMMENT C_COMMENT
    """.split()  # noqa: SIM905
)
_OPENING = ("ASCII_40", "ASCII_91")
_CLOSING = ("ASCII_41", "ASCII_93")


def _makes_level(token: Token) -> bool:
    """Keywords that may stand for names make none, but for the AT of AT TIME ZONE."""
    if token.name in _FLAT:
        return False
    return token.kind not in ("UNRESERVED_KEYWORD", "COL_NAME_KEYWORD") or token.name == "AT"


def _unparsable(sql: str, message: str, position: int) -> QueryFailed:
    return QueryFailed(message, sqlstate=_SYNTAX_ERROR, sql=sql, position=position)


def _too_complex() -> QueryFailed:
    return QueryFailed("the query is nested too deeply to be read", sqlstate=_TOO_COMPLEX)


def _only(sql: str, statements: tuple[ast.RawStmt, ...]) -> ast.RawStmt:
    if not statements:
        raise QueryFailed("the query is empty", sqlstate=_SYNTAX_ERROR)
    if len(statements) > 1:
        place = statements[1].stmt_location or 0
        place += len(sql[place:]) - len(sql[place:].lstrip("; \t\r\n"))
        raise QueryNotReadOnly(
            "only one statement is run at a time",
            construct="several statements",
            sql=sql,
            position=place + 1,
        )
    return statements[0]


def _reading(sql: str, statement: ast.Node | None) -> ast.Node:
    """The tree to look through. EXPLAIN ANALYZE runs what it explains, so that must read too."""
    match statement:
        case ast.SelectStmt() | ast.VariableShowStmt():
            return statement
        case ast.ExplainStmt(query=ast.SelectStmt()):
            return statement
        case ast.ExplainStmt(query=ast.Node() as explained):
            raise _refused(sql, f"EXPLAIN of {_name(explained)}", explained)
        case ast.Node():
            raise _refused(sql, _name(statement), statement, _beginning(sql))
    raise QueryFailed("the query is empty", sqlstate=_SYNTAX_ERROR)


# What a statement names.
Piece = tuple[Mention, ...]


def judged(sql: str, node: ast.Node | None) -> Piece:
    """Of a statement or an expression inside another object. Raises QueryNotReadOnly."""
    statement = type(node).__name__.endswith("Stmt")
    return tuple(_checked(sql, _reading(sql, node) if statement or node is None else node))


def _checked(sql: str, root: ast.Node) -> Iterator[Mention]:
    for node, ctes in walk(root):
        if refusal := _refusal(node):
            raise _refused(sql, refusal, node)
        if not isinstance(node, ast.RangeVar):
            yield from mentions_of(node)
        elif not is_cte(node, ctes):
            place = (node.location or 0) + 1
            yield Mention(Kind.RELATION, node.schemaname or "", node.relname or "", place)


def _refusal(node: ast.Node) -> str:
    """What about a node writes, locks or reaches out; "" for the rest.

    `(x).f` and `x.f` count as calls: PostgreSQL runs `('s'::regclass).nextval` and
    `SELECT s.nextval FROM to_regclass('s') AS s`.
    """
    match node:
        case ast.IntoClause():
            return "SELECT INTO"
        case ast.LockingClause():
            return "FOR UPDATE or FOR SHARE"
        case ast.FuncCall():
            return _denied_call(node)
        case ast.A_Indirection():
            return _denied_in(node.indirection or (), is_denied_attribute)
        case ast.ColumnRef():
            return _denied_in((node.fields or ())[1:][-1:], is_denied_attribute)
        case ast.RangeVar() if holds_credentials(node.schemaname or "", node.relname or ""):
            return f"reading {node.relname}"
        case ast.SelectStmt() | ast.ExplainStmt() | ast.VariableShowStmt():
            return ""
    return _name(node) if type(node).__name__.endswith("Stmt") else ""


def _denied_call(call: ast.FuncCall) -> str:
    if refusal := _denied_in((call.funcname or ())[-1:], is_denied):
        return refusal
    last = (call.funcname or (None,))[-1]
    if isinstance(last, ast.String) and last.sval in TAKE_TYPE_NAMES and not named_type(call):
        return f"the function {last.sval} with a type that is not written out"
    return ""


def _denied_in(parts: Iterable[object], denied: Callable[[str], bool]) -> str:
    for part in parts:
        if isinstance(part, ast.String) and denied(part.sval or ""):
            return f"the function {part.sval}"
    return ""


_COMMENTS = ("SQL_COMMENT", "C_COMMENT")


def _beginning(sql: str) -> int:
    """Where the statement's first word stands, from 1."""
    return next((each.start + 1 for each in scan(sql) if each.name not in _COMMENTS), 1)


def _refused(sql: str, construct: str, node: ast.Node, place: int = 0) -> QueryNotReadOnly:
    """At that place, or else at the node's."""
    return QueryNotReadOnly(
        f"{construct} is not allowed: only reading statements are run",
        construct=construct,
        sql=sql,
        position=place or position(node),
    )


def _kept_back(sql: str, construct: str, node: ast.Node) -> QueryNotReadOnly:
    return QueryNotReadOnly(
        f"{construct} is not shown: it may hold passwords",
        construct=construct,
        sql=sql,
        position=position(node),
        remedy=REMEDY,
    )


def _endless(sql: str, rows: int, node: ast.Node) -> QueryFailed:
    return QueryFailed(
        f"generate_series makes {rows:,} rows here, more than {MAX_ROWS:,}",
        sqlstate=_TOO_MANY,
        sql=sql,
        position=position(node),
        hint="Make a shorter series.",
    )


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
