"""What this connector says of itself."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as pb

TYPE = "local_file"
SECRETS_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {},
}
PATHS = ("budget/2026.csv", "sales/2026-*/*.csv", "**/*.parquet")
QUERIES = (
    "SELECT region, sum(amount) AS amount FROM 'sales/2026-*/*.parquet' GROUP BY ALL",
    "SELECT * FROM read_csv('logs/*.csv.gz', delim = ';') WHERE status >= 500 LIMIT 100",
)
CODE_NOTES = (
    '.list("folder/*.csv") gives names and sizes; '
    '.read("folder/*.parquet") gives one DataFrame of all files that match, '
    '.read("budget.xlsx") the first sheet of a workbook; '
    ".query(\"SELECT … FROM 'folder/*.parquet'\") runs DuckDB SQL at the source and reads only "
    "the columns and row groups that it needs: prefer it for large files."
)


def config_schema(roots: Sequence[str]) -> dict[str, Any]:
    """Of the public settings, for the roots that there are: a source of another one is refused
    before it is kept. Without any the connector itself says so, with what to do."""
    root: dict[str, Any] = {
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "description": "The name of a folder that the operator allows.",
        "x-order": 1,
    }
    if roots:
        root["enum"] = list(roots)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "required": ["root"],
        "properties": {
            "root": root,
            "folder": {
                "type": "string",
                "maxLength": 900,
                "pattern": "^([^/].*)?$",
                "description": "Only what lies under this folder of the root is seen.",
                "x-order": 2,
            },
            "writable_folders": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 900},
                "maxItems": 20,
                "uniqueItems": True,
                "description": "Folders that results may be written to, such as results/; ** for "
                "all. Left out: nothing is written. The operator must allow it for the root too.",
                "x-order": 3,
            },
        },
    }


def described(roots: Sequence[str]) -> pb.DescribeResponse:
    """The answer to Describe."""
    root = roots[0] if roots else "reports"
    return pb.DescribeResponse(
        type=TYPE,
        title="Local folder",
        config_schema=ParseDict(config_schema(roots), Struct()),
        secrets_schema=ParseDict(SECRETS_SCHEMA, Struct()),
        templates=[
            _template("Folder", "A folder of the connector's machine, to be read.", {"root": root}),
            _template(
                "Part of a folder, with a folder for results",
                "Only what lies under one folder is seen; reports and figures may be written back "
                "under results/.",
                {"root": root, "folder": "2026", "writable_folders": ["results/"]},
            ),
        ],
        formats=[
            pb.FORMAT_RAW,
            pb.FORMAT_UNPACKED,
            pb.FORMAT_CSV,
            pb.FORMAT_PARQUET,
            pb.FORMAT_ARROW,
        ],
        takes_paths=True,
        takes_globs=True,
        takes_queries=True,
        stores=True,
        code_notes=CODE_NOTES,
    )


def _template(title: str, description: str, config: dict[str, Any]) -> pb.Template:
    body = {"name": "files", "type": TYPE, "config": config, "secrets": {}}
    example = ParseDict(body, Struct())
    return pb.Template(
        title=title, description=description, example=example, queries=QUERIES, paths=PATHS
    )
