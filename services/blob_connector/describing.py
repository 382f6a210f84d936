"""What this connector says of itself."""

from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as pb

TYPE = "azure_blob"
CONFIG_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["container"],
    "properties": {
        "account_url": {
            "type": "string",
            "pattern": "^https?://[^@/?#]+(/[^?#]*)?$",
            "description": "Such as https://ACCOUNT.blob.core.windows.net; may be left out with a "
            "connection string.",
            "x-order": 1,
        },
        "container": {"type": "string", "minLength": 1, "maxLength": 63, "x-order": 2},
        "prefix": {
            "type": "string",
            "maxLength": 900,
            "description": "Only what lies under this folder is seen.",
            "x-order": 3,
        },
        "identity": {
            "enum": ["workload_identity", "managed_identity", "default"],
            "description": "Sign in as the connector itself, without a secret; the operator allows "
            "it for each account.",
            "x-order": 4,
        },
        "tenant_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9.-]+$",
            "description": "Of the application whose secret or certificate is set.",
            "x-order": 5,
        },
        "client_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9-]+$",
            "description": "Of that application, or of a user-assigned managed identity.",
            "x-order": 6,
        },
        "cloud": {
            "enum": ["public", "us_government", "china"],
            "description": "Whose Microsoft Entra is asked, where the address does not tell.",
            "x-order": 7,
        },
        "write_prefixes": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 900},
            "maxItems": 20,
            "uniqueItems": True,
            "description": "Folders that results may be written to, such as results/; ** for all. "
            "Left out: nothing is written.",
            "x-order": 8,
        },
    },
}
SECRETS_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    # none with config.identity
    "maxProperties": 1,
    "properties": {
        "connection_string": {"type": "string", "minLength": 1},
        "account_key": {"type": "string", "minLength": 1},
        "sas_token": {"type": "string", "minLength": 1},
        "client_secret": {"type": "string", "minLength": 1},
        "client_certificate": {
            "type": "string",
            "minLength": 1,
            "description": "PEM of the private key and the certificate, or base64 of a PFX without "
            "a password.",
        },
    },
}
EXAMPLES: tuple[tuple[str, str, dict[str, Any], dict[str, str]], ...] = (
    (
        "Account key",
        "A container, by the account's name and key.",
        {"account_url": "https://ACCOUNT.blob.core.windows.net", "container": "sales"},
        {"account_key": "…"},
    ),
    (
        "Account key, with a folder for results",
        "As before; reports and figures may be written back under results/.",
        {
            "account_url": "https://ACCOUNT.blob.core.windows.net",
            "container": "sales",
            "write_prefixes": ["results/"],
        },
        {"account_key": "…"},
    ),
    (
        "SAS token",
        "A folder of a container, by a token that may read and list (sp=rl).",
        {
            "account_url": "https://ACCOUNT.blob.core.windows.net",
            "container": "sales",
            "prefix": "2026/",
        },
        {"sas_token": "sv=…&sp=rl&sig=…"},
    ),
    (
        "Application of Microsoft Entra",
        "A container, by an application's secret; it needs the role Storage Blob Data Reader.",
        {
            "account_url": "https://ACCOUNT.blob.core.windows.net",
            "container": "sales",
            "tenant_id": "00000000-0000-0000-0000-000000000000",
            "client_id": "00000000-0000-0000-0000-000000000000",
        },
        {"client_secret": "…"},
    ),
    (
        "Managed identity",
        "A container, as the identity that the connector runs with; no secret is kept.",
        {
            "account_url": "https://ACCOUNT.blob.core.windows.net",
            "container": "sales",
            "identity": "managed_identity",
        },
        {},
    ),
    (
        "Connection string",
        "A container, by the account's connection string.",
        {"container": "sales"},
        {"connection_string": "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…"},
    ),
)
PATHS = ("sales/2026-01.csv", "sales/2026-*/*.csv", "**/*.parquet")
QUERIES = (
    "SELECT region, sum(amount) AS amount FROM 'sales/2026-*/*.parquet' GROUP BY ALL",
    "SELECT * FROM read_csv('logs/*.csv.gz', delim = ';') WHERE status >= 500 LIMIT 100",
)
CODE_NOTES = (
    '.list("folder/*.csv") gives names and sizes; '
    '.read("folder/*.parquet") gives one DataFrame of all files that match; '
    ".query(\"SELECT … FROM 'folder/*.parquet'\") runs DuckDB SQL at the source and reads only "
    "the columns and row groups that it needs: prefer it for large files."
)


def described() -> pb.DescribeResponse:
    """The answer to Describe."""
    return pb.DescribeResponse(
        type=TYPE,
        title="Azure Blob Storage",
        config_schema=ParseDict(CONFIG_SCHEMA, Struct()),
        secrets_schema=ParseDict(SECRETS_SCHEMA, Struct()),
        templates=[_template(*each) for each in EXAMPLES],
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


def _template(
    title: str, description: str, config: dict[str, Any], secrets: dict[str, str]
) -> pb.Template:
    body = {"name": "lake", "type": TYPE, "config": config, "secrets": secrets}
    example = ParseDict(body, Struct())
    return pb.Template(
        title=title, description=description, example=example, queries=QUERIES, paths=PATHS
    )
