"""What a source of many and of odd relations tells of itself."""

import pytest

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import RemoteFault
from tests.pg_connector.conftest import Platform, body

MANY = """
CREATE SCHEMA many;
DO $$ BEGIN FOR n IN 1..10050 LOOP
  EXECUTE format('CREATE TABLE many.t%s ()', lpad(n::text, 5, '0'));
  IF n % 500 = 0 THEN COMMIT; END IF;
END LOOP; END $$;
"""
ODD = """
CREATE TABLE days (at date, n int CHECK (n > 0), PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
COMMENT ON TABLE days IS 'by day';
INSERT INTO days SELECT '2026-01-01'::date + n % 50, n FROM generate_series(1, 1000) n;
CREATE TABLE notes (id int PRIMARY KEY, at date, n int, UNIQUE (at, n),
  FOREIGN KEY (at, n) REFERENCES days (at, n), parent int REFERENCES notes (id),
  EXCLUDE USING gist (daterange(at, at + 1) WITH &&));
CREATE MATERIALIZED VIEW monthly AS SELECT date_trunc('month', at) AS month FROM days;
CREATE UNIQUE INDEX monthly_odd ON notes ((n + 1)) WHERE n > 1;
ANALYZE days; ANALYZE days_1; ANALYZE days_2;
GRANT SELECT ON days, monthly TO {role}; GRANT SELECT (id) ON notes TO {role};
CREATE TABLE large AS SELECT n, 'row ' || n AS text FROM generate_series(1, 200000) n;
GRANT SELECT ON large TO {role};
"""


async def inspected(platform: Platform, path: str) -> pb.InspectResponse:
    grant = await platform.grant()
    told: pb.InspectResponse = await platform.call(
        "Inspect", pb.InspectRequest(grant=grant, path=path, refresh=True)
    )
    return told


@pytest.mark.req("P2")
async def test_more_than_ten_thousand_tables_are_paged_through(platform: Platform) -> None:
    for part in MANY.split(";\n", 1):
        await platform.postgres.execute(part, database=platform.database)
    await platform.postgres.execute(
        f"GRANT USAGE ON SCHEMA many TO {platform.config['user']}", database=platform.database
    )
    grant, seen, token = await platform.grant(), list[str](), ""
    while True:
        request = pb.BrowseRequest(grant=grant, path="many", page_size=1000, page_token=token)
        page = await platform.call("Browse", request)
        seen += [entry.name for entry in page.entries]
        assert not any(entry.readable for entry in page.entries)
        if not (token := page.next_page_token):
            break
    assert seen == [f"t{n:05}" for n in range(1, 10_051)]
    some = await platform.call("Browse", pb.BrowseRequest(grant=grant, glob="many.t1000?"))
    assert len(some.entries) == 10
    # thousands of tables take more locks than a server has by default, if they go at once
    for last in range(10):
        await platform.postgres.execute(
            "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE"
            f" relnamespace = 'many'::regnamespace AND relname LIKE '%{last}' LOOP"
            " EXECUTE 'DROP TABLE many.' || t; END LOOP; END $$",
            database=platform.database,
        )


@pytest.mark.req("P2", "P4", "D9")
async def test_odd_relations_tell_what_they_are_made_of(platform: Platform) -> None:
    await platform.postgres.execute(
        ODD.format(role=platform.config["user"]), database=platform.database
    )
    days = await inspected(platform, "days")
    assert days.entry.kind == pb.ENTRY_KIND_PARTITIONED_TABLE and days.entry.comment == "by day"
    assert list(days.members) == ["public.days_1", "public.days_2"]
    assert days.definition == "PARTITION BY RANGE (at)"
    assert days.rows == 1000 and days.entry.size_bytes > 50_000
    back = [c for c in days.constraints if c.kind == pb.CONSTRAINT_KIND_REFERENCED_BY]
    assert [(c.references_path, list(c.references_columns)) for c in back] == [
        ("public.notes", ["at", "n"])
    ]
    notes = await inspected(platform, "notes")
    kinds = sorted(pb.ConstraintKind.Name(c.kind)[16:] for c in notes.constraints)
    assert kinds == ["EXCLUSION", "FOREIGN_KEY", "FOREIGN_KEY", "PRIMARY_KEY", "UNIQUE"]
    references = {c.references_path for c in notes.constraints if c.references_path}
    assert references == {"public.days", "public.notes"}
    assert notes.entry.readable and [c.readable for c in notes.columns] == [True] + [False] * 3
    odd = next(i for i in notes.indexes if i.name == "monthly_odd")
    assert odd.unique and odd.columns == ["(n + 1)"] and "WHERE (n > 1)" in odd.definition
    monthly = await inspected(platform, "monthly")
    assert monthly.entry.kind == pb.ENTRY_KIND_MATERIALIZED_VIEW
    assert "date_trunc" in monthly.definition


@pytest.mark.req("D10")
async def test_profile_of_a_large_relation_without_statistics_is_of_blocks_all_over(
    platform: Platform,
) -> None:
    sql = ODD.format(role=platform.config["user"])
    await platform.postgres.execute(sql, database=platform.database)
    await platform.postgres.execute("VACUUM large", database=platform.database)
    request = pb.ProfileRequest(grant=await platform.grant(), path="large")
    told = await platform.call("Profile", request)
    assert told.basis == f"sample of {told.sampled_rows} rows from blocks all over it"
    assert 5_000 < told.sampled_rows <= 20_000 and abs(told.rows - 200_000) < 20_000
    # its beginning alone would end at 20,000
    assert float(told.columns[0].maximum) > 100_000


async def profiled(platform: Platform, path: str) -> pb.ProfileResponse:
    request = pb.ProfileRequest(grant=await platform.grant(), path=path, refresh=True)
    told: pb.ProfileResponse = await platform.call("Profile", request)
    return told


@pytest.mark.req("D10")
async def test_least_and_greatest_are_exact_where_an_index_gives_them(platform: Platform) -> None:
    role = platform.config["user"]
    await platform.postgres.execute(
        "CREATE TABLE events AS SELECT n AS id, n % 1000 AS kind, 'e' || n AS name,"
        " n / 2 AS partly FROM generate_series(1, 30000) n;"
        "CREATE INDEX ON events (id, kind); CREATE INDEX ON events (partly) WHERE id < 9;"
        f"CREATE INDEX ON events USING hash (name); GRANT SELECT ON events TO {role};"
        "ANALYZE events; INSERT INTO events VALUES (-5, 0, 'x', 0), (99999, 0, 'y', 0)",
        database=platform.database,
    )
    told = await profiled(platform, "events")
    assert told.basis == "server statistics; least and greatest of id exact"
    columns = {column.name: column for column in told.columns}
    assert (columns["id"].minimum, columns["id"].maximum) == ("-5", "99999")
    assert columns["kind"].distinct == 1000 and columns["name"].maximum


@pytest.mark.req("P4", "D10")
async def test_what_the_role_may_not_read_is_named_and_no_more(platform: Platform) -> None:
    role = platform.config["user"]
    await platform.postgres.execute(
        "CREATE TABLE people (id int PRIMARY KEY, name text, salary int);"
        "INSERT INTO people SELECT n, 'n' || n, n * 10 FROM generate_series(1, 100) n;"
        "CREATE TABLE staff AS SELECT n AS id, n * 10 AS salary FROM generate_series(1, 30000) n;"
        f"ANALYZE people, staff; GRANT SELECT (id, name) ON people TO {role};"
        f"GRANT SELECT (id) ON staff TO {role}",
        database=platform.database,
    )
    inspection = await inspected(platform, "people")
    assert inspection.entry.readable
    assert [column.readable for column in inspection.columns] == [True, True, False]
    for path, names in (("people", ["id", "name", "salary"]), ("staff", ["id", "salary"])):
        told = await profiled(platform, path)
        assert [column.name for column in told.columns] == names
        assert told.columns[0].distinct and told.columns[0].HasField("minimum")
        assert not told.columns[-1].HasField("distinct") and not told.columns[-1].top_values
    with pytest.raises(RemoteFault) as caught:
        await platform.fetch("public.people")
    assert caught.value.reason == "SOURCE_FORBIDDEN" and "read: id, name" in caught.value.remedy
    assert body(await platform.fetch("public.people", columns=["id", "name"]))
    with pytest.raises(RemoteFault) as caught:
        await platform.call("Profile", pb.ProfileRequest(grant=await platform.grant(),
                                                         path="public.secrets"))  # fmt: skip
    assert caught.value.reason == "SOURCE_FORBIDDEN"


@pytest.mark.req("P2")
async def test_metadata_is_kept_for_a_while_and_refreshed_on_demand(platform: Platform) -> None:
    grant = await platform.grant()

    async def seen(refresh: bool, grant: str = grant) -> tuple[list[str], int, int]:
        browse = pb.BrowseRequest(grant=grant, path="public", refresh=refresh)
        inspect = pb.InspectRequest(grant=grant, path="customers", refresh=refresh)
        profile = pb.ProfileRequest(grant=grant, path="customers", refresh=refresh)
        return (
            [entry.name for entry in (await platform.call("Browse", browse)).entries],
            len((await platform.call("Inspect", inspect)).columns),
            (await platform.call("Profile", profile)).rows,
        )

    before = await seen(False)
    await platform.postgres.execute(
        "CREATE TABLE added (); ALTER TABLE customers ADD COLUMN extra int;"
        "INSERT INTO customers VALUES (101, 'new', 'x')",
        database=platform.database,
    )
    assert await seen(False) == before
    names, columns, rows = await seen(True)
    assert "added" in names and (columns, rows) == (before[1] + 1, before[2] + 1)
    assert await seen(False) == (names, columns, rows)
    scoped = await platform.grant(scopes=["public.customers"])
    assert (await seen(False, scoped))[0] == ["customers"]


@pytest.mark.req("P2")
async def test_foreign_keys_lead_from_relation_to_relation(platform: Platform) -> None:
    """The whole graph, walked from one relation along the keys that Inspect tells, both ways."""
    await platform.postgres.execute(
        "CREATE TABLE lines (order_id bigint REFERENCES orders (id), shop int, at int);"
        "CREATE TABLE shops (id int PRIMARY KEY, chief int REFERENCES shops (id));"
        "ALTER TABLE lines ADD FOREIGN KEY (shop) REFERENCES shops (id)",
        database=platform.database,
    )
    waiting, edges = ["public.customers"], set[tuple[str, str]]()
    known = set(waiting)
    while waiting:
        path = waiting.pop()
        for rule in (await inspected(platform, path)).constraints:
            far = rule.references_path
            if rule.kind == pb.CONSTRAINT_KIND_FOREIGN_KEY:
                edges.add((path, far))
            if far and far not in known:
                known.add(far)
                waiting.append(far)
    short = {(a.removeprefix("public."), b.removeprefix("public.")) for a, b in edges}
    assert short == {
        ("orders", "customers"), ("lines", "orders"), ("lines", "shops"), ("shops", "shops"),
    }  # fmt: skip
