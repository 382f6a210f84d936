"""Every relation of the system's own catalogs can be read, or is refused with a reason."""

import pytest

from servicekit.status import RemoteFault
from services.pg_connector.denied import holds_credentials
from tests.pg_connector.conftest import Platform, body

LISTED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('pg_catalog', 'information_schema')
"""


async def test_pg_stats_is_read_with_its_values_of_any_type(platform: Platform) -> None:
    await platform.postgres.execute("ANALYZE customers", database=platform.database)
    got = body(await platform.fetch(
        "SELECT attname, most_common_vals FROM pg_stats WHERE tablename = 'customers'"
        " AND attname = 'region'"
    ))  # fmt: skip
    assert got == b'attname,most_common_vals\nregion,"{Nordvik,Sund}"\n'


@pytest.mark.req("P2", "P8")
async def test_every_system_relation_is_read_or_refused_with_a_reason(platform: Platform) -> None:
    rows = body(await platform.fetch(LISTED)).decode().splitlines()[1:]
    assert len(rows) > 150
    for schema, name in (row.split(",") for row in rows):
        kept_back = holds_credentials(schema, name) or name == "pg_settings"
        try:
            await platform.fetch(f'SELECT * FROM {schema}."{name}" LIMIT 5')
        except RemoteFault as fault:
            refused = "QUERY_NOT_READ_ONLY" if kept_back else ""
            assert fault.reason == (refused or "SOURCE_FORBIDDEN"), (name, str(fault))
        else:
            assert not kept_back
