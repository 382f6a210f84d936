"""What a role may do besides reading, and how to make one that may only read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.pg_connector.catalog import quoted

_OURS = """
n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
"""
_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_CLASS = """
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
_REACHED = "pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
# The groups that come with the server and give more than reading data.
_GROUPS = {
    "pg_write_all_data": "write to all tables",
    "pg_maintain": "rebuild and refresh all tables",
    "pg_create_subscription": "make subscriptions, which write what others send",
    "pg_write_server_files": "write files of the server",
    "pg_execute_server_program": "run programs on the server",
}
_REACHING = {
    "pg_read_server_files": "read files of the server",
    "pg_signal_backend": "end other sessions",
    "pg_checkpoint": "force checkpoints",
}
_MEMBER = "', '".join((*_GROUPS, *_REACHING))
RIGHTS = f"""
SELECT pg_catalog.current_setting('server_version') AS version,
       r.rolsuper AS superuser, r.rolcreatedb AS creates_databases,
       r.rolcreaterole AS creates_roles,
       r.rolreplication AS replicates, r.rolbypassrls AS bypasses,
       (SELECT count(*) {_CLASS} WHERE {_OURS}) AS relations,
       (SELECT count(*) {_CLASS} WHERE {_OURS} AND {_REACHED}
          AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')) AS readable,
       (SELECT count(*) {_CLASS} WHERE {_OURS} AND {_REACHED}
          AND (pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE')
               OR pg_catalog.has_table_privilege(c.oid, 'DELETE, TRUNCATE'))) AS writable,
       (SELECT count(*) {_CLASS} WHERE {_OURS}
          AND pg_catalog.pg_has_role(c.relowner, 'USAGE')) AS owned,
       (SELECT count(*) {_CLASS} WHERE c.relkind = 'S' AND {_SCHEMAS} AND {_REACHED}
          AND CASE WHEN c.relkind = 'S'
              THEN pg_catalog.has_sequence_privilege(c.oid, 'USAGE, UPDATE') END) AS sequences,
       (SELECT count(*) FROM pg_catalog.pg_proc p
          JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
          WHERE p.prosecdef AND p.provolatile = 'v' AND {_SCHEMAS} AND {_REACHED}
          AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
          AND p.proowner <> r.oid AND NOT r.rolsuper) AS definers,
       ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_roles g WHERE g.rolname IN ('{_MEMBER}')
             AND pg_catalog.pg_has_role(g.oid, 'USAGE') AND NOT r.rolsuper ORDER BY 1) AS groups,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
         OR EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE {_SCHEMAS}
                    AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')) AS creates,
       ARRAY(SELECT DISTINCT n.nspname::text {_CLASS} WHERE {_OURS} ORDER BY 1) AS schemas,
       ARRAY(SELECT DISTINCT ARRAY[n.nspname, pg_catalog.pg_get_userbyid(c.relowner)]::text[]
             {_CLASS} WHERE {_OURS} ORDER BY 1) AS owners,
       ARRAY(SELECT n.nspname::text FROM pg_catalog.pg_namespace n
             CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
             WHERE {_SCHEMAS} AND a.grantee = 0 AND a.privilege_type = 'CREATE'
             ORDER BY 1) AS open_schemas,
       ARRAY(SELECT DISTINCT ARRAY[n.nspname, c.relname]::text[] {_CLASS}
             CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
             WHERE {_OURS} AND a.grantee = 0
               AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
             ORDER BY 1 LIMIT 100) AS open_relations
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""  # noqa: S608


@dataclass(frozen=True)
class Rights:
    """A row of RIGHTS. `owners`: schema and role, of each that owns relations there;
    `open_schemas`, `open_relations`: where everybody may create or write."""

    version: str
    superuser: bool
    creates_databases: bool
    creates_roles: bool
    replicates: bool
    bypasses: bool
    relations: int
    readable: int
    writable: int
    owned: int
    sequences: int
    definers: int
    groups: list[str]
    creates: bool
    schemas: list[str]
    owners: list[list[str]]
    open_schemas: list[str]
    open_relations: list[list[str]]

    @classmethod
    def of(cls, row: Any) -> "Rights":
        return cls(**dict(row))

    @property
    def may_write(self) -> bool:
        return any(
            (
                self.superuser, self.creates_databases, self.creates_roles, self.replicates,
                self.writable, self.owned, self.sequences, self.creates,
                _GROUPS.keys() & set(self.groups),
            )
        )  # fmt: skip


def warnings(user: str, rights: Rights) -> Iterator[str]:
    if rights.superuser:
        yield f"{user} is a superuser"
        return
    told = {
        f"may write to {rights.writable} relations": rights.writable,
        f"owns {rights.owned} relations": rights.owned,
        f"may advance {rights.sequences} sequences": rights.sequences,
        "may create objects": rights.creates,
        "may create databases": rights.creates_databases,
        "may create and change roles": rights.creates_roles,
        "may replicate the whole server": rights.replicates,
        "is not held by row security": rights.bypasses,
        f"may call {rights.definers} functions that run with their owners' rights and may write": (
            rights.definers
        ),
    }
    yield from (f"{user} {what}" for what, so in told.items() if so)
    groups = _GROUPS | _REACHING
    yield from (f"{user} may {groups[group]} ({group})" for group in rights.groups)


def new_reader(user: str, database: str, schemas: tuple[str, ...], rights: Rights) -> str:
    """For an administrator to run: a role that may read what is in the schemas, and no more."""
    name = f"{user}_reader"
    lines = [
        "-- a role that can only read; give it a password of its own with \\password",
        f"CREATE ROLE {quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;",
        f"ALTER ROLE {quoted(name)} SET default_transaction_read_only = on;",
    ]
    return "\n".join([*lines, *_closing(rights)]) + "\n" + grants(name, database, schemas, rights)


def _closing(rights: Rights) -> Iterator[str]:
    """What everybody may do, a new role may do, too."""
    if rights.open_schemas or rights.open_relations:
        yield "-- this is taken from everybody: grant it to those who need it"
    for schema in rights.open_schemas:
        yield f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC;"
    for path in rights.open_relations:
        relation = ".".join(map(quoted, path))
        yield f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {relation} FROM PUBLIC;"


def grants(role: str, database: str, schemas: tuple[str, ...], rights: Rights) -> str:
    who = quoted(role)
    chosen = schemas or tuple(rights.schemas) or ("public",)
    lines = [f"GRANT CONNECT ON DATABASE {quoted(database)} TO {who};"]
    for schema in chosen:
        within = f"IN SCHEMA {quoted(schema)}"
        lines += [
            f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {who};",
            f"GRANT SELECT ON ALL TABLES {within} TO {who};",
        ]
        lines += [
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)} {within}"
            f" GRANT SELECT ON TABLES TO {who};"
            for there, owner in rights.owners
            if there == schema
        ]
    return "\n".join(lines) + "\n"
