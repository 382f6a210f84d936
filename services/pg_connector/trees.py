"""PostgreSQL's parse trees, walked without recursion: a query may be nested deeper than Python's
stack."""

from collections.abc import Iterator

from pglast import ast

Ctes = frozenset[str]


def walk(root: ast.Node) -> Iterator[tuple[ast.Node, Ctes]]:
    """Every node, with the names that WITH clauses define there."""
    waiting: list[tuple[ast.Node, Ctes]] = [(root, frozenset())]
    while waiting:
        node, ctes = waiting.pop()
        yield node, ctes
        waiting.extend(reversed(list(_children(node, ctes))))


def _children(node: ast.Node, ctes: Ctes) -> Iterator[tuple[ast.Node, Ctes]]:
    if isinstance(node, ast.WithClause):
        yield from _common_tables(node, ctes)
        return
    clause = getattr(node, "withClause", None)
    within = ctes | frozenset(_names_of(clause)) if clause is not None else ctes
    for attribute in node:
        for child in _nodes(getattr(node, attribute)):
            yield child, ctes if child is clause else within


def _common_tables(clause: ast.WithClause, ctes: Ctes) -> Iterator[tuple[ast.Node, Ctes]]:
    """Without RECURSIVE a table of WITH sees those before it only, so that its own name may be that
    of a real relation."""
    names = _names_of(clause)
    for place, table in enumerate(clause.ctes or ()):
        yield table, ctes | frozenset(names if clause.recursive else names[:place])


def _names_of(clause: ast.WithClause) -> list[str]:
    return [table.ctename for table in clause.ctes or ()]


def _nodes(value: object) -> Iterator[ast.Node]:
    if isinstance(value, ast.Node):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _nodes(item)


def is_cte(node: ast.RangeVar, ctes: Ctes) -> bool:
    return not node.schemaname and node.relname in ctes


def position(node: ast.Node) -> int:
    """Of the first part that knows its place, from 1; 1 where none does."""
    for part, _ in walk(node):
        location = getattr(part, "location", None)
        if isinstance(location, int) and location >= 0:
            return location + 1
    return 1
