"""The statements inside a view, a policy, a domain's check or a function, read from their texts."""

from collections.abc import Iterator
from typing import Any

import pglast
from pglast import ast
from pglast.parser import ParseError

from services.pg_connector.guard import Piece, judged
from services.pg_connector.named import Named

# RAW_PARSE_PLPGSQL_EXPR and the assignments of nodes/parsenodes' RawParseMode
_STATEMENT, _EXPRESSION = 0, 2


class Unreadable(Exception):
    """The text cannot be judged; the message says why."""


def pieces_of(found: Named) -> list[Piece]:
    """Raises Unreadable, QueryNotReadOnly."""
    try:
        if found.what == "function":
            return list(_of_function(found))
        text = found.text
        if found.what == "check":
            text = f"SELECT {text.removeprefix('CHECK ').removesuffix(' NOT VALID')}"
        return [judged(text, each.stmt) for each in pglast.parse_sql(text)]
    except (ParseError, ValueError, RecursionError) as exc:
        raise Unreadable("cannot be read") from exc


def _of_function(found: Named) -> Iterator[Piece]:
    if found.language == "plpgsql":
        yield from _of_plpgsql(found.text)
        return
    (raw,) = pglast.parse_sql(found.text)
    function = raw.stmt
    assert isinstance(function, ast.CreateFunctionStmt)
    yield from _of_defaults(found.text, function)
    if function.sql_body is not None:
        yield from _of_sql_body(found.text, function.sql_body)
        return
    for option in function.options or ():
        if option.defname == "as":
            text = option.arg[0].sval or ""
            yield from (judged(text, each.stmt) for each in pglast.parse_sql(text))


def _of_defaults(text: str, function: ast.CreateFunctionStmt) -> Iterator[Piece]:
    for parameter in function.parameters or ():
        if isinstance(parameter, ast.FunctionParameter) and parameter.defexpr is not None:
            yield judged(text, parameter.defexpr)


def _of_sql_body(text: str, body: Any) -> Iterator[Piece]:
    if isinstance(body, ast.ReturnStmt):
        yield judged(text, body.returnval)
        return
    for statements in body:
        for each in statements:
            # BEGIN ATOMIC … RETURN … END
            inner = each.returnval if isinstance(each, ast.ReturnStmt) else each
            yield judged(text, inner)


def _of_plpgsql(text: str) -> Iterator[Piece]:
    (raw,) = pglast.parse_sql(text)
    assert isinstance(raw.stmt, ast.CreateFunctionStmt)
    yield from _of_defaults(text, raw.stmt)
    for name, value in _fields(pglast.parse_plpgsql(text)):
        if name.startswith("PLpgSQL_stmt_dyn") or name == "dynquery":
            raise Unreadable("runs SQL that it makes itself (EXECUTE)")
        if name == "PLpgSQL_expr":
            query, mode = str(value["query"]), int(value.get("parseMode", _STATEMENT))
            yield from _of_expression(query, mode)


def _of_expression(query: str, mode: int) -> Iterator[Piece]:
    if mode > _EXPRESSION:
        query = query.partition(":=")[2] if ":=" in query else query.partition("=")[2]
    text = query if mode == _STATEMENT else f"SELECT {query}"
    yield from (judged(text, each.stmt) for each in pglast.parse_sql(text))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from each.items()
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
