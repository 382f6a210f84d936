"""Whether a statement may run, and which paths it reads. Pure.

DuckDB's own parser tells what a statement says (`json_serialize_sql`, which takes nothing but
SELECT); here its tree is walked. Only what is known passes: a node, a function, a table function or
an option that is not named below is refused. A table's name is a path in the source or a WITH's.

What passes is written anew where a path stands: as a file of the query's own file system, which
holds what the connector resolved and nothing else (see `ranges`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectorkit.files.errors import QueryFailed, QueryNotReadOnly
from connectorkit.files.sql.functions import OPERATORS, SCALAR, words

PROTOCOL = "lake"
MAX_SQL_CHARS = 100_000
MAX_PATHS = 64
MAX_NODES = 200_000
# what DuckDB says of a place that it does not know
_NOWHERE = (1 << 64) - 1
_CLASSES = words("""
    BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA
    LAMBDA_REF OPERATOR PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW
""")
_NODES = words("""
    SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE BASE_TABLE EMPTY
    EXPRESSION_LIST JOIN PIVOT SHOW_REF SUBQUERY TABLE_FUNCTION ASCENDING DESCENDING
    ORDER_DEFAULT ORDER_MODIFIER DISTINCT_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER
""")
_COMPUTED = words("generate_series range unnest repeat repeat_row json_each json_tree")
_EVERY = words("filename hive_partitioning hive_types hive_types_autocast union_by_name")
_CSV = _EVERY | words("""
    all_varchar allow_quoted_nulls auto_detect auto_type_candidates buffer_size column_names
    columns comment compression dateformat date_format decimal_separator delim delimiter
    dtypes encoding escape force_not_null header ignore_errors max_line_size
    maximum_line_size names new_line normalize_names null_padding nullstr null parallel
    quote sample_size sep skip strict_mode thousands timestampformat timestamp_format types
    column_types
""")
_JSON = _EVERY | words("""
    auto_detect columns compression convert_strings_to_integers dateformat date_format
    field_appearance_threshold format ignore_errors map_inference_threshold maximum_depth
    maximum_object_size maximum_sample_files records sample_size timestampformat
    timestamp_format
""")
_PARQUET = _EVERY | words("binary_as_string file_row_number can_have_nan")
_NONE: frozenset[str] = frozenset()
# those that read files, and what they may be told
_READERS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("read_parquet", "parquet_scan"), _PARQUET),
    **dict.fromkeys(("read_csv", "read_csv_auto", "sniff_csv"), _CSV),
    **dict.fromkeys(
        words("""
    read_json read_json_auto read_ndjson read_ndjson_auto read_json_objects
    read_json_objects_auto read_ndjson_objects
"""),
        _JSON,
    ),
    **dict.fromkeys(("read_text", "read_blob", "glob"), _NONE),
    **dict.fromkeys(
        words("parquet_metadata parquet_schema parquet_file_metadata parquet_kv_metadata"), _NONE
    ),
}
_DESCRIBED = re.compile(
    r"\s*(?:DESCRIBE|DESC|SUMMARIZE)\s+('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")\s*;?\s*", re.IGNORECASE
)
_CALLS_OF_TABLES = "Read files by a path in quotes, or by read_parquet, read_csv, read_json."


@dataclass(frozen=True)
class Edit:
    """`length` bytes at `at` give way to the text."""

    at: int
    length: int
    text: str


@dataclass(frozen=True)
class Statement:
    """`sql` is what DuckDB is to run; `paths` are what it reads, in order."""

    source: str
    sql: str
    paths: Sequence[str]
    edits: Sequence[Edit]

    def position(self, offset: int) -> int:
        """Where in the source, in characters from 1, a byte of `sql` stands."""
        for edit in self.edits:
            if offset <= edit.at:
                break
            grown = len(edit.text.encode()) - edit.length
            offset = max(edit.at, offset - grown)
        return len(self.source.encode()[:offset].decode(errors="ignore")) + 1


def judged(source: str, tree: Mapping[str, Any]) -> Statement:
    """`tree` is what `json_serialize_sql` gave. Raises QueryFailed, QueryNotReadOnly."""
    if tree.get("error"):
        raise _unparsed(source, tree)
    statements = tree.get("statements")
    if not isinstance(statements, list) or len(statements) != 1:
        raise QueryNotReadOnly("there is more than one statement", construct="several statements")
    walk = _Walk(source)
    try:
        walk.look(statements[0])
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as exc:
        raise QueryNotReadOnly("the statement is not understood", construct="unknown") from exc
    edits = sorted(walk.edits, key=lambda edit: edit.at)
    return Statement(source, _edited(source, edits), tuple(dict.fromkeys(walk.paths)), edits)


def _unparsed(source: str, tree: Mapping[str, Any]) -> Exception:
    text = str(tree.get("error_message", ""))
    if tree.get("error_type") == "parser":
        at = tree.get("position")
        offset = int(at) if isinstance(at, str) and at.isdigit() else None
        position = 0 if offset is None else Statement(source, source, (), ()).position(offset)
        return QueryFailed(text, sql=source, position=position)
    first = source.split(None, 1)[:1]
    construct = first[0].upper()[:20] if first else "nothing"
    return QueryNotReadOnly(
        f"{construct} does not run here: a query over files is one SELECT", construct=construct
    )


def _edited(source: str, edits: Sequence[Edit]) -> str:
    data, parts, at = source.encode(), [], 0
    for edit in edits:
        if edit.at < at:
            raise QueryNotReadOnly("the statement is not understood", construct="unknown")
        parts += [data[at : edit.at], edit.text.encode()]
        at = edit.at + edit.length
    return b"".join([*parts, data[at:]]).decode()


class _Walk:
    """Goes through a tree; collects paths and edits. Raises QueryNotReadOnly, QueryFailed."""

    def __init__(self, source: str) -> None:
        self._source, self._bytes = source, source.encode()
        self._with: set[str] = set()
        self.paths: list[str] = []
        self.edits: list[Edit] = []

    def look(self, root: Mapping[str, Any]) -> None:
        for name in _names_of_with(root):
            if re.search(r"[/.*?]", name):
                raise QueryNotReadOnly(
                    f'a WITH named "{name}" could be taken for a file', construct="WITH"
                )
            self._with.add(name.casefold())
        left: list[Any] = [root]
        for _ in range(MAX_NODES):
            if not left:
                return
            node = left.pop()
            if isinstance(node, list):
                left += node
            elif isinstance(node, dict):
                left += self._node(node)
        raise QueryNotReadOnly("the statement is too large", construct="size")

    def _node(self, node: Mapping[str, Any]) -> list[Any]:
        """Judges one node; what is to be looked at within it."""
        kind = node.get("type")
        if "class" in node:
            if node["class"] not in _CLASSES:
                raise self._refused(node, str(node["class"]))
        elif isinstance(kind, str) and kind not in _NODES:
            raise self._refused(node, kind)
        if kind == "TABLE_FUNCTION" and "class" not in node:
            return self._table_function(node)
        if kind == "BASE_TABLE":
            self._table(node)
        elif kind == "SHOW_REF":
            self._shown(node)
        elif "function_name" in node:
            self._function(node)
        elif node.get("class") == "TYPE" and (node.get("schema") or node.get("catalog")):
            raise self._refused(node, "a type with a schema")
        return list(node.values())

    def _function(self, node: Mapping[str, Any]) -> None:
        name = str(node["function_name"]).lower()
        if name not in SCALAR and name not in OPERATORS:
            raise self._refused(node, f"{name}()")
        if _qualified(node):
            raise self._refused(node, f"{name}() with a schema")

    def _table(self, node: Mapping[str, Any]) -> None:
        name = str(node["table_name"])
        if node.get("at_clause"):
            raise self._refused(node, "AT")
        if node.get("schema_name") or node.get("catalog_name") or _qualified(node):
            raise QueryFailed(
                "there are no schemas: a table is a path in quotes",
                sql=self._source,
                position=self._position(node),
                hint="Write it as in FROM 'folder/file.parquet'.",
            )
        if name.casefold() in self._with:
            return
        at = node.get("query_location")
        if at == _NOWHERE:
            # DESCRIBE 'path' tells no place
            found = _DESCRIBED.fullmatch(self._source)
            at = len(self._source[: found.start(1)].encode()) if found else None
        self._path(node, name, at, self._quoted(at))

    def _shown(self, node: Mapping[str, Any]) -> None:
        if not node.get("query") or node.get("show_type") not in ("DESCRIBE", "SUMMARY"):
            raise self._refused(node, "SHOW")

    def _table_function(self, node: Mapping[str, Any]) -> list[Any]:
        call = node["function"]
        name = str(call["function_name"]).lower()
        if _qualified(call) or call.get("class") != "FUNCTION":
            raise self._refused(node, f"{name}() with a schema", _CALLS_OF_TABLES)
        rest = [value for key, value in node.items() if key != "function"]
        if name in _COMPUTED:
            return [*rest, call["arguments"], call.get("filter"), call.get("order_bys")]
        if name not in _READERS:
            raise self._refused(node, f"{name}()", _CALLS_OF_TABLES)
        paths = 0
        for argument in call["arguments"]:
            option = _option(argument)
            if option is None:
                self._paths_of(node, argument["expression"])
                paths += 1
            elif option not in _READERS[name]:
                raise self._refused(node, f"{option} of {name}()")
        if paths != 1:
            raise self._refused(node, f"{name}() without one path")
        return [*rest, [a for a in call["arguments"] if _option(a) is not None]]

    def _paths_of(self, node: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """A text, or a list of texts: what is computed cannot be judged."""
        if given.get("class") == "FUNCTION" and given["function_name"] == "list_value":
            for each in given["arguments"]:
                self._paths_of(node, each["expression"])
            return
        literal = given.get("literal")
        if given.get("class") != "CONSTANT" or not isinstance(literal, dict):
            raise self._refused(node, "a path that is not written out")
        if literal.get("kind") != "STRING":
            raise self._refused(node, "a path that is no text")
        at, length = given["query_location"], given["query_location_length"]
        self._path(node, str(literal["text"]), at, length)

    def _path(self, node: Mapping[str, Any], path: str, at: Any, length: int) -> None:
        if not isinstance(at, int) or not length or at + length > len(self._bytes):
            raise QueryNotReadOnly(
                f"where {path!r} stands in the statement is not known",
                construct="a table without a place",
                remedy="Write it as in FROM 'folder/file.parquet'.",
            )
        self.paths.append(path)
        if len(set(self.paths)) > MAX_PATHS:
            raise self._refused(node, f"more than {MAX_PATHS} paths")
        self.edits.append(Edit(at, length, _literal(f"{PROTOCOL}://{path}")))

    def _quoted(self, at: Any) -> int:
        """How many bytes the name takes that begins here; 0 where it is not written in quotes."""
        if not isinstance(at, int) or at >= len(self._bytes):
            return 0
        mark = self._bytes[at : at + 1]
        if mark not in (b"'", b'"'):
            found = re.match(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*", self._bytes[at:])
            return len(found[0]) if found else 0
        found = re.match(mark + b"(?:[^%b]|%b)*" % (mark, mark * 2) + mark, self._bytes[at:])
        return len(found[0]) if found else 0

    def _position(self, node: Mapping[str, Any]) -> int:
        at = node.get("query_location", _NOWHERE)
        if at == _NOWHERE:
            return 0
        return len(self._bytes[:at].decode(errors="ignore")) + 1

    def _refused(self, node: Mapping[str, Any], what: str, remedy: str = "") -> QueryNotReadOnly:
        return QueryNotReadOnly(
            f"{what} does not run in a query over files",
            construct=what,
            sql=self._source,
            position=self._position(node),
            remedy=remedy,
        )


def _names_of_with(root: Mapping[str, Any]) -> Iterator[str]:
    left: list[Any] = [root]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            ctes = node.get("cte_map")
            if isinstance(ctes, dict):
                yield from (str(each["key"]) for each in ctes.get("map") or ())
            left += node.values()


def _qualified(node: Mapping[str, Any]) -> bool:
    path = (node.get("qualified_name") or {}).get("path") or ()
    return bool(node.get("schema") or node.get("catalog")) or len(path) > 1


def _option(argument: Mapping[str, Any]) -> str | None:
    """The name of an argument that has one: `header := true`, or `header = true`."""
    if argument.get("name"):
        return str(argument["name"]).lower()
    given = argument["expression"]
    if given.get("type") == "COMPARE_EQUAL" and given["left"].get("class") == "COLUMN_REF":
        names = given["left"]["column_names"]
        return str(names[0]).lower() if len(names) == 1 else ""
    return None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
