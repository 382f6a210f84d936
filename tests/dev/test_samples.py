import io
import json
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pyarrow.parquet as parquet
import pytest
import pytest_asyncio
from azure.storage.blob.aio import ContainerClient

from dev.azurite import Azurite
from dev.postgres import Postgres
from dev.samples import Company, Facts, facts, generate
from dev.samples.load import Login, blobs_of, load_blobs, load_postgres


@pytest.fixture(scope="module")
def company() -> Company:
    return generate()


@pytest.fixture(scope="module")
def truth(company: Company) -> Facts:
    return facts(company)


def quiet(what: str, done: int, total: int) -> None: ...


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def login(postgres: Postgres) -> AsyncIterator[Login]:
    """The shop, filled with a small company; gone after this module."""
    yield await load_postgres(postgres, generate(orders=2000, customers=300, sessions=500), quiet)
    await postgres.execute("DROP DATABASE shop WITH (FORCE)")
    await postgres.execute("DROP ROLE analyst")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def loaded(azurite: Azurite, company: Company) -> AsyncIterator[None]:
    told: list[tuple[int, int]] = []
    await load_blobs(azurite, company, lambda _, done, total: told.append((done, total)))
    assert told == [(done, 25) for done in range(1, 26)]
    yield
    async with azurite.service() as service:
        await service.delete_container("lake")


@pytest.fixture
async def lake(azurite: Azurite, loaded: None) -> AsyncIterator[ContainerClient]:
    async with azurite.service() as service:
        yield service.get_container_client("lake")


def test_generated_twice_is_the_same(company: Company) -> None:
    again = generate()
    assert again.relations == company.relations
    assert again.shipments == company.shipments
    assert again.products == company.products


def test_company_has_about_two_hundred_thousand_lines(company: Company) -> None:
    assert 190_000 < company.relations["order_lines"].num_rows < 210_000


def test_nordvik_returns_most_by_share_and_by_count(company: Company, truth: Facts) -> None:
    rates = list(truth.return_rate_by_region.values())
    assert truth.worst_region == "Nordvik"
    assert rates[0] > 1.8 * rates[1]
    orders = company.relations["orders"].to_pandas().set_index("order_id")
    counts = Counter(orders.loc[company.relations["refunds"]["order_id"].to_pylist(), "region"])
    (first, most), (_, next_most) = counts.most_common(2)
    assert first == "Nordvik" and most > 1.8 * next_most


def test_halden_freight_is_late_and_serves_nordvik(truth: Facts) -> None:
    rates = list(truth.late_rate_by_carrier.values())
    assert truth.late_carrier == "Halden Freight"
    assert rates[0] > 5 * rates[1]
    assert truth.carrier_share_in_top_region["Halden Freight"] > 0.65


def test_late_orders_come_back_more_often_and_say_so(truth: Facts) -> None:
    assert truth.return_rate_by_lateness[True] > 5 * truth.return_rate_by_lateness[False]
    assert truth.late_reason_share_by_lateness[True] > 0.6
    assert truth.late_reason_share_by_lateness[False] < 0.05


def test_carrier_explains_the_region(company: Company, truth: Facts) -> None:
    """Nordvik's orders that were not late come back no more often than anybody's."""
    refunded = set(company.relations["refunds"]["order_id"].to_pylist())
    rows = [row for table in company.shipments.values() for row in table.to_pylist()]
    on_time = [
        row["order_id"] in refunded
        for row in rows
        if row["region"] == "Nordvik" and row["delivered_at"] <= row["promised_at"]
    ]
    assert sum(on_time) / len(on_time) < 1.2 * truth.return_rate_by_lateness[False]


def test_sales_peak_in_winter(truth: Facts) -> None:
    months = truth.orders_by_month
    summer = [months[f"2025-{month:02}"] for month in (5, 6, 7)]
    winter = [months[f"2025-{month:02}"] for month in (1, 11, 12)]
    assert min(winter) > 1.5 * max(summer)


async def test_shop_holds_every_row_with_types_kept(postgres: Postgres, login: Login) -> None:
    dsn = postgres.dsn_of("shop", user=login.user, password=login.password)
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM orders") == 2000
        row = await connection.fetchrow("SELECT * FROM customers WHERE preferences IS NOT NULL")
        assert row is not None
        assert set(json.loads(row["preferences"])) == {"language", "size"}
        wrong = await connection.fetchval(
            "SELECT count(*) FROM orders o WHERE total <>"
            " (SELECT sum(amount) FROM order_lines l WHERE l.order_id = o.order_id)"
        )
        assert wrong == 0
        assert await connection.fetchval("SELECT sum(orders) FROM sales_by_month") > 1900
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM refunds",
        "CREATE TABLE x (a int)",
        "CREATE TEMP TABLE x (a int)",
        "TABLE pg_authid",
    ],
)
async def test_reader_may_only_read(postgres: Postgres, login: Login, statement: str) -> None:
    dsn = postgres.dsn_of("shop", user=login.user, password=login.password)
    connection = await asyncpg.connect(
        dsn, server_settings={"default_transaction_read_only": "off"}
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_lake_holds_every_blob(lake: ContainerClient, company: Company) -> None:
    names = [each.name async for each in lake.list_blobs()]
    assert sorted(names) == sorted(each.name for each in blobs_of(company))
    assert len([name for name in names if name.startswith("shipments/")]) == 12


async def test_lake_shipments_read_back_as_made(lake: ContainerClient, company: Company) -> None:
    content = await (await lake.download_blob("shipments/2025-03.parquet")).readall()
    assert parquet.read_table(io.BytesIO(content)) == company.shipments["2025-03"]


async def test_lake_catalogue_names_the_same_products(
    lake: ContainerClient, company: Company
) -> None:
    blob = await lake.download_blob("catalogue/products.json")
    listed = json.loads(await blob.readall())
    skus = company.relations["products"]["sku"].to_pylist()
    assert [each["sku"] for each in listed] == skus
    assert listed[0]["attributes"]["colours"]
