"""Other ways from PostgreSQL to Arrow, each in a process of its own that stays warm.

    python -m bench.pg_peers adbc <dsn> <sql>

It prints its version, and then for each line that it reads how many rows it fetched. One that is
not installed ends with status 3. DuckDB's scanner is an extension, which comes from PyPI:
`pip install --target FOLDER connectorx duckdb==1.5.5 duckdb-extension-postgres-scanner==1.5.5`.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ABSENT = 3
# as many as the connector holds at a time, about
_ROWS = 65_536
Fetch = Callable[[], int]


def adbc(dsn: str, sql: str) -> tuple[str, Fetch]:
    from adbc_driver_postgresql import dbapi

    connection = dbapi.connect(dsn)

    def fetch() -> int:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            reader: Any = cursor.fetch_record_batch()
            return sum(batch.num_rows for batch in reader)

    return f"ADBC {version('adbc-driver-postgresql')}", fetch


def adbc_frame(dsn: str, sql: str) -> tuple[str, Fetch]:
    """All rows as one DataFrame, exact numerics as ADBC gives them: text."""
    from adbc_driver_postgresql import dbapi

    connection = dbapi.connect(dsn)

    def fetch() -> int:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return len(cursor.fetch_arrow_table().to_pandas())

    return f"ADBC {version('adbc-driver-postgresql')}, to_pandas", fetch


def connectorx(dsn: str, sql: str) -> tuple[str, Fetch]:
    import connectorx as cx  # type: ignore[import-not-found]

    def fetch() -> int:
        found: Any = cx.read_sql(dsn, sql, return_type="arrow_stream", batch_size=_ROWS)
        return sum(int(batch.num_rows) for batch in found)

    return f"ConnectorX {version('connectorx')}", fetch


def duckdb(dsn: str, sql: str) -> tuple[str, Fetch]:
    import duckdb as duck

    connection = duck.connect(config={"allow_unsigned_extensions": True, "memory_limit": "1GB"})
    connection.execute(f"LOAD '{_extension()}'")
    connection.execute(f"ATTACH '{dsn}' AS pg (TYPE postgres, READ_ONLY)")
    connection.execute("USE pg.public")

    def fetch() -> int:
        reader: Any = connection.execute(sql).to_arrow_reader(_ROWS)
        return sum(batch.num_rows for batch in reader)

    return f"DuckDB {duck.__version__}", fetch


def _extension() -> Path:
    found = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    if found is None or found.origin is None:
        raise ImportError("duckdb-extension-postgres-scanner is not installed")
    return next(Path(found.origin).parent.rglob("*.duckdb_extension"))


def psycopg(dsn: str, sql: str) -> tuple[str, Fetch]:
    import psycopg as driver

    connection = driver.connect(dsn)

    def fetch() -> int:
        with connection.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT") as copy:
            return sum(1 for _ in copy.rows())

    return f"psycopg {driver.__version__}", fetch


PEERS = {"adbc": adbc, "connectorx": connectorx, "duckdb": duckdb, "psycopg": psycopg}
FRAMES = {"adbc_frame": adbc_frame}


def main() -> None:
    name, dsn, sql = sys.argv[1:]
    try:
        told, fetch = {**PEERS, **FRAMES}[name](dsn, sql)
    except ImportError:
        sys.exit(ABSENT)
    print(told, flush=True)
    for _ in sys.stdin:
        print(fetch(), flush=True)


if __name__ == "__main__":
    main()
