"""Settings of a server that may hold passwords. The server shows some of them to every role
(archive_command), others to members of pg_read_all_settings (primary_conninfo); here nobody's query
is told them. All others are the server's to show or not."""

import re
from collections.abc import Iterator

from pglast import ast

from services.pg_connector.trees import Ctes, is_cte, walk

_SETTINGS = frozenset(
    [
        "primary_conninfo",
        "ssl_passphrase_command",
        "archive_command",
        "archive_cleanup_command",
        "restore_command",
        "recovery_end_command",
    ]
)
# of extensions and applications: "app.jwt_secret"
_OWN = re.compile(r".+\..*(secret|passw|passphrase|token|api_?key|private_?key|conninfo)")
# what gives all at once
_RELATIONS = ("pg_settings",)
_FUNCTIONS = ("pg_show_all_settings",)
REMEDY = "Ask for one setting by its name, with SHOW or current_setting('name')."


def withheld(root: ast.Node) -> Iterator[tuple[ast.Node, str]]:
    """What in a query asks for such a setting, or might: the node, and what it is called."""
    for node, ctes in walk(root):
        if told := _told(node, ctes):
            yield node, told


def _told(node: ast.Node, ctes: Ctes) -> str:
    match node:
        case ast.VariableShowStmt(name=name):
            return "SHOW ALL" if name == "all" else _setting(name or "")
        case ast.RangeVar(schemaname=schema, relname=name) if name in _RELATIONS:
            own = is_cte(node, ctes) or schema not in (None, "pg_catalog")
            return "" if own else f"reading {name}"
        case ast.FuncCall():
            return _of_call(node)
        # (x).current_setting is a call, too
        case ast.A_Indirection():
            return _of_attribute(node.indirection or ())
        case ast.ColumnRef():
            return _of_attribute((node.fields or ())[1:])
    return ""


def _setting(name: str) -> str:
    name = name.casefold()
    return f"the setting {name}" if name in _SETTINGS or _OWN.fullmatch(name) else ""


def _of_call(call: ast.FuncCall) -> str:
    name = getattr((call.funcname or (None,))[-1], "sval", "")
    if name in _FUNCTIONS:
        return f"the function {name}"
    if name != "current_setting":
        return ""
    given = (call.args or (None,))[0]
    if isinstance(given, ast.TypeCast):
        given = given.arg
    if isinstance(given, ast.A_Const) and isinstance(given.val, ast.String):
        return _setting(given.val.sval or "")
    return "current_setting of a name that is not written out"


def _of_attribute(parts: tuple[object, ...]) -> str:
    names = [getattr(part, "sval", "") for part in parts[-1:]]
    found = [name for name in names if name in (*_FUNCTIONS, "current_setting")]
    return f"the function {found[0]}" if found else ""
