"""What a statement names that may be code of the database's own: functions, operators, types."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pglast
from pglast import ast
from pglast.enums import A_Expr_Kind
from pglast.parser import ParseError

from services.pg_connector.trees import position, walk


class Kind(StrEnum):
    FUNCTION = "function"
    # x.f and (x).f: a column mostly, but a call of f(x) where x has no such column
    ATTRIBUTE = "attribute"
    OPERATOR = "operator"
    TYPE = "type"
    RELATION = "relation"


@dataclass(frozen=True)
class Mention:
    """`schema` is empty where none is named; `arguments` counts those of a call."""

    kind: Kind
    schema: str
    name: str
    position: int
    arguments: int = 0

    @property
    def told(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


# These take the name of a type as text, and run its input.
TAKE_TYPE_NAMES = frozenset(["pg_input_is_valid", "pg_input_error_info"])
_BETWEEN = {
    A_Expr_Kind.AEXPR_BETWEEN: (">=", "<="),
    A_Expr_Kind.AEXPR_NOT_BETWEEN: ("<", ">"),
    A_Expr_Kind.AEXPR_BETWEEN_SYM: (">=", "<="),
    A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM: ("<", ">"),
}


def mentions_of(node: ast.Node) -> Iterator[Mention]:
    """Of this node alone, not of those below it."""
    match node:
        case ast.FuncCall():
            yield from _of_call(node)
        case ast.TypeName():
            yield _named(Kind.TYPE, node.names or (), node)
        case ast.ColumnRef():
            yield from _attributes((node.fields or ())[1:][-1:], node)
        case ast.A_Indirection():
            yield from _attributes(node.indirection or (), node)
        case ast.A_Expr(kind=A_Expr_Kind() as kind) if between := _BETWEEN.get(kind):
            yield from (Mention(Kind.OPERATOR, "", name, position(node), 2) for name in between)
        case ast.A_Expr(name=tuple() as name):
            yield _named(Kind.OPERATOR, name, node)
        case ast.SubLink(operName=tuple() as name):
            yield _named(Kind.OPERATOR, name, node)
        case ast.SubLink(testexpr=ast.Node()) | ast.CaseExpr(arg=ast.Node()):
            # IN (SELECT …), CASE x WHEN …
            yield Mention(Kind.OPERATOR, "", "=", position(node), 2)
        case ast.JoinExpr() if node.usingClause or node.isNatural:
            yield Mention(Kind.OPERATOR, "", "=", position(node), 2)
        case ast.SortBy(useOp=tuple() as name):
            yield _named(Kind.OPERATOR, name, node)


def _of_call(call: ast.FuncCall) -> Iterator[Mention]:
    arguments = call.args or ()
    count = len(arguments) + (len(call.agg_order or ()) if call.agg_within_group else 0)
    found = _named(Kind.FUNCTION, call.funcname or (), call, count)
    yield found
    if found.name in TAKE_TYPE_NAMES and (named := named_type(call)):
        yield named
    if count == 1:
        # int8(x) is a cast where there is no such function
        yield Mention(Kind.TYPE, found.schema, found.name, found.position)


def named_type(call: ast.FuncCall) -> Mention | None:
    """The type in pg_input_is_valid('…', 'type'); None where it is not written out."""
    match call.args:
        case (_, ast.A_Const(val=ast.String(sval=str() as text))):
            return _written_type(text, position(call))
    return None


def _written_type(text: str, place: int) -> Mention | None:
    try:
        statements = pglast.parse_sql(f"SELECT NULL::{text}")
    except (ParseError, ValueError):
        return None
    types = [
        node for each in statements for node, _ in walk(each) if isinstance(node, ast.TypeName)
    ]
    if len(statements) != 1 or len(types) != 1:
        return None
    named = _named(Kind.TYPE, types[0].names or (), types[0])
    return Mention(Kind.TYPE, named.schema, named.name, place)


def _attributes(parts: Iterable[object], node: ast.Node) -> Iterator[Mention]:
    for part in parts:
        if isinstance(part, ast.String) and part.sval:
            yield Mention(Kind.ATTRIBUTE, "", part.sval, position(node), 1)
            yield Mention(Kind.TYPE, "", part.sval, position(node))


def _named(kind: Kind, parts: Iterable[object], node: ast.Node, arguments: int = 2) -> Mention:
    names = [part.sval or "" for part in parts if isinstance(part, ast.String)]
    schema = names[-2] if len(names) > 1 else ""
    return Mention(kind, schema, names[-1] if names else "", position(node), arguments)
