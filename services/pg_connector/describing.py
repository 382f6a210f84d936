"""What this connector says of itself."""

from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from connectorkit.tables import TABLE_FORMATS
from isobath.connector.v1 import connector_pb2 as pb
from services.pg_connector import urls

TYPE = "postgresql"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"

CONFIG_SCHEMA: dict[str, Any] = {
    "$schema": _DRAFT,
    "type": "object",
    "additionalProperties": False,
    "if": {"required": ["url"]},
    "then": {"not": {"anyOf": [{"required": [name]} for name in (*urls.GIVEN, "vault_role")]}},
    "else": {
        "required": ["host", "database"],
        "if": {"required": ["vault_role"]},
        "else": {"required": ["user"]},
    },
    "properties": {
        "url": {
            "type": "string",
            # no password: settings are not secret
            "pattern": "^postgres(ql)?://(?!.*[?&]password=)([^:@/?]*@)?[^@]*$",
            "title": "URL",
            "description": "postgresql://user@host:port/database?sslmode=… instead of the fields"
            " that it gives; without a password.",
            "x-order": 0,
        },
        "host": {
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
            "title": "Host",
            "description": "Name or address of the server, or the folder of its unix socket."
            " Several, as a list or with commas, are tried in turn; each may end in :port.",
            "x-order": 1,
        },
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 5432,
            "title": "Port",
            "x-order": 2,
        },
        "database": {"type": "string", "minLength": 1, "title": "Database", "x-order": 3},
        "user": {
            "type": "string",
            "minLength": 1,
            "title": "User",
            "description": "Best a role that can only read.",
            "x-order": 4,
        },
        "vault_role": {
            "type": "string",
            "pattern": "^[^/].*/[^/]+$",
            "title": "Vault role",
            "description": "mount/role of Vault's database engine, which gives short-lived users"
            " instead of a user and a password.",
            "x-order": 12,
        },
        "sslmode": {
            "enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
            "default": "prefer",
            "title": "TLS",
            "x-order": 5,
        },
        "ca_certificate": {
            "type": "string",
            "minLength": 1,
            "title": "CA certificate",
            "description": "PEM; several may follow each other. None = the public CAs. For"
            " verify-ca and verify-full; require, too, checks against it where it is given.",
            "x-order": 9,
        },
        "target_session_attrs": {
            "enum": ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"],
            "default": "any",
            "title": "Kind of server",
            "x-order": 10,
        },
        "pgbouncer": {
            "type": "boolean",
            "default": False,
            "title": "Behind PgBouncer",
            "description": "Set it where PgBouncer stands in between with pool_mode transaction.",
            "x-order": 11,
        },
        "schemas": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "title": "Schemas",
            "description": "Those that are listed. None = all.",
            "x-order": 6,
        },
        "connect_timeout_s": {
            "type": "number",
            "exclusiveMinimum": 0,
            "title": "Seconds to connect",
            "x-order": 7,
        },
        "statement_timeout_s": {
            "type": "number",
            "exclusiveMinimum": 0,
            "title": "Seconds for a statement",
            "x-order": 8,
        },
    },
}
SECRETS_SCHEMA: dict[str, Any] = {
    "$schema": _DRAFT,
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "password": {"type": "string", "title": "Password", "writeOnly": True, "x-order": 1},
        "client_certificate": {
            "type": "string",
            "minLength": 1,
            "title": "Client certificate",
            "description": "PEM, for servers that ask for one; those of CAs in between may follow.",
            "writeOnly": True,
            "x-order": 2,
        },
        "client_key": {
            "type": "string",
            "minLength": 1,
            "title": "Key of the client certificate",
            "description": "PEM, not encrypted.",
            "writeOnly": True,
            "x-order": 3,
        },
    },
    "dependentRequired": {
        "client_certificate": ["client_key"],
        "client_key": ["client_certificate"],
    },
}
_QUERIES = [
    "SELECT * FROM public.orders LIMIT 100",
    "SELECT date_trunc('month', ordered_at) AS month, count(*) AS orders\n"
    "FROM public.orders GROUP BY 1 ORDER BY 1",
    "SELECT status, count(*) FROM public.orders WHERE ordered_at >= $1 GROUP BY status",
]
_NOTES = """\
PostgreSQL. A path is a relation: "public.orders", or "orders" where the search path finds it.
Queries are one statement that only reads (SELECT, VALUES, TABLE, WITH, SHOW, EXPLAIN), in
PostgreSQL's own SQL; bind values to $1, $2 … instead of writing them into the text.
Aggregate and filter in SQL rather than fetching whole tables. Results are cut at the row limit,
and say so. numeric without declared digits (sum, avg) comes as exact text: cast it to float8 where
a number is wanted. Times with a zone come in UTC.
"""


def describe() -> pb.DescribeResponse:
    return pb.DescribeResponse(
        type=TYPE,
        title="PostgreSQL",
        config_schema=_struct(CONFIG_SCHEMA),
        secrets_schema=_struct(SECRETS_SCHEMA),
        templates=[_server(), _socket()],
        formats=TABLE_FORMATS,
        takes_paths=True,
        takes_globs=False,
        takes_queries=True,
        stores=False,
        code_notes=_NOTES,
    )


def _server() -> pb.Template:
    return pb.Template(
        title="A server",
        description="A database on a server, over the network.",
        example=_struct(
            _example({"host": "db.example.com", "port": 5432, "sslmode": "verify-full"})
        ),
        queries=_QUERIES,
        paths=["public.orders"],
    )


def _socket() -> pb.Template:
    return pb.Template(
        title="A server on this machine",
        description="A database behind a unix socket.",
        example=_struct(_example({"host": "/run/postgresql"})),
        queries=_QUERIES,
        paths=["public.orders"],
    )


def _example(where: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "shop",
        "type": TYPE,
        "description": "Orders and customers",
        "config": {**where, "database": "shop", "user": "analyst"},
        "secrets": {"password": "<password>"},
    }


def _struct(value: dict[str, Any]) -> Struct:
    return ParseDict(value, Struct())
