"""What a source of many and of odd relations tells of itself."""

import pytest

from isobath.connector.v1 import connector_pb2 as pb
from tests.pg_connector.conftest import Platform

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
