"""Every type, by both ways rows come: COPY, and records of a cursor where there are parameters."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from services.pg_connector import catalog
from services.pg_connector.browsing import arrow_columns
from services.pg_connector.errors import ValueUnfit
from services.pg_connector.selecting import of_relation
from services.pg_connector.streams import prepared
from tests.pg_connector.bare import reading_at
from tests.pg_connector.typed import (
    ROWS,
    UNFIT_FROM,
    fetched,
    fit,
    raw,
    table_of,
    text_columns,
    typed,
    unfit,
)
from tests.pg_connector.types_table import KINDS

ALL = ", ".join(f"c{place}" for place in range(len(KINDS)))
# the same rows with a parameter, so that they come as records
WAYS = {
    "copy": (f"< {UNFIT_FROM}", []),
    "records": ("< $1", [pb.Parameter(integer=UNFIT_FROM)]),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(postgres: Postgres) -> AsyncIterator[str]:
    async with typed(postgres) as dsn:
        yield dsn


@pytest.mark.req("P3", "P9")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("format", [pb.FORMAT_ARROW, pb.FORMAT_PARQUET])
async def test_every_type_has_its_arrow_type_and_values(
    database: str, way: str, format: pb.Format
) -> None:
    bound, parameters = WAYS[way]
    sql = f"SELECT {ALL} FROM typed WHERE n {bound} ORDER BY n"
    table = table_of(await fetched(database, sql, format, parameters), format)
    wrong = {}
    for place, kind in enumerate(KINDS):
        column = table.column(place)
        values = [value.arrow for value in fit(kind.values)]
        values += [None] * (ROWS - len(values))
        if (column.type, repr(raw(column))) != (kind.arrow, repr(values)):
            wrong[kind.sql] = (column.type, raw(column)[: len(fit(kind.values)) + 1])
    assert wrong == {}


@pytest.mark.req("P3", "P9")
@pytest.mark.parametrize("way", WAYS)
async def test_every_type_has_its_text_in_csv(database: str, way: str) -> None:
    bound, parameters = ("< 2000", []) if way == "copy" else ("< $1", [pb.Parameter(integer=2000)])
    sql = f"SELECT {ALL} FROM typed WHERE n {bound} ORDER BY n"
    columns = text_columns(await fetched(database, sql, pb.FORMAT_CSV, parameters))
    wrong = {}
    for place, kind in enumerate(KINDS):
        found = columns[f"c{place}"]
        bad = unfit(kind.values)
        values = [value.csv for value in fit(kind.values)]
        expected = [*values, *[None] * (ROWS - len(values)), *[value.csv for value in bad]]
        expected += [None] * (len(found) - len(expected))
        if found != expected:
            wrong[kind.sql] = [
                pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]
            ]
    assert wrong == {}


UNFIT = [
    (place, row, value)
    for place, kind in enumerate(KINDS)
    for row, value in enumerate(unfit(kind.values))
]


@pytest.mark.req("P3", "P9")
@pytest.mark.parametrize("way", WAYS)
async def test_what_arrow_does_not_hold_is_told(database: str, way: str) -> None:
    for place, row, value in UNFIT:
        number = UNFIT_FROM + row
        bound, parameters = (
            (f"= {number}", []) if way == "copy" else ("= $1", [pb.Parameter(integer=number)])
        )
        sql = f"SELECT c{place} FROM typed WHERE n {bound}"
        with pytest.raises(ValueUnfit, match=value.arrow.why) as caught:
            await fetched(database, sql, pb.FORMAT_ARROW, parameters)
        assert f"c{place}" in caught.value.message and "text" in caught.value.remedy


@pytest.mark.req("P2", "P3")
async def test_catalog_tells_the_same_types(database: str) -> None:
    async with reading_at(database) as work:
        relation = await catalog.find(work, "public.typed")
        assert relation is not None
        columns = arrow_columns(await catalog.columns(work, relation))
        chosen = await of_relation(work, relation)
        schema = (await prepared(work, chosen.work)).schema
    told = {column.name: column.arrow for column in columns}
    for place, kind in enumerate(KINDS):
        name = f"c{place}"
        assert (told[name], schema.field(name).type) == (kind.arrow, kind.arrow), kind.sql


_BUILT_IN = """
SELECT t.typname FROM pg_type t
WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm', 'e', 'd')
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
"""


@pytest.mark.req("P3")
async def test_every_built_in_type_is_in_the_table(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        there = {row[0] for row in await connection.fetch(_BUILT_IN)}
    finally:
        await connection.close()
    known = {kind.name for kind in KINDS}
    assert there <= known, there - known
