"""Several replicas of the service over one PostgreSQL, and what both kinds of store promise."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectorkit.access import Gate
from dev.postgres import Postgres
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.chain import ChainBroken
from servicekit.channels import streaming
from servicekit.secrets import Secret
from servicekit.settings import SettingsError
from services.credentials import audit, reading, shared, signing, store
from services.credentials.app import keys_of
from services.credentials.clock import Clock
from services.credentials.errors import SecretNotFound, StoreUnusable, VersionConflict
from services.credentials.home import Home
from services.credentials.keys import GivenKeys
from services.credentials.sealing import new_key
from services.credentials.settings import Settings
from services.credentials.store import Store
from services.credentials.vaults.book import Book
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.port import Change
from tests.credentials.conftest import Service, mint_request, put_request
from tests.credentials.test_servicer import minted, redeemed, refusal

pytestmark = pytest.mark.req("K3")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = new_key()
# opens one more time on what it keeps
Opening = Callable[[], "AbstractAsyncContextManager[Store]"]


def url_of(postgres: Postgres, database: str) -> Secret:
    dsn = postgres.dsn_of(database)
    return Secret(dsn.replace("postgresql:", "postgresql+asyncpg:", 1))


@pytest.fixture
async def url(postgres: Postgres, no_leaks: object) -> AsyncIterator[Secret]:
    async with postgres.database() as name:
        yield url_of(postgres, name)


@pytest.fixture(params=["file", "shared"])
async def opened(
    request: pytest.FixtureRequest, home: Path, postgres: Postgres, no_leaks: object
) -> AsyncIterator[Opening]:
    if request.param == "file":
        yield lambda: store.opened(Home(home), GivenKeys(KEY))
        return
    async with postgres.database() as name:
        url = url_of(postgres, name)
        yield lambda: shared.opened(url, lambda _: GivenKeys(KEY), Clock())


def change(value: str, **changes) -> Change:
    return replace(Change("ds-1", "owner-1", {"password": Secret(value)}, binding="b"), **changes)


# What both kinds of store promise


async def test_what_was_kept_is_there_when_it_is_opened_again(opened) -> None:
    async with opened() as kept:
        await EmbeddedVault(kept).put(change("one"), NOW)
        ring = await signing.load(kept, NOW)
    async with opened() as kept:
        assert (await EmbeddedVault(kept).get("ds-1")).fields == {"password": Secret("one")}
        again = await signing.load(kept, NOW)
        assert [each.key.key_id for each in again.keys] == [each.key.key_id for each in ring.keys]
        assert await EmbeddedVault(kept).delete("ds-1")
        assert not await EmbeddedVault(kept).delete("ds-1")
        with pytest.raises(SecretNotFound):
            await EmbeddedVault(kept).get("ds-1")


async def test_work_that_fails_leaves_nothing(opened) -> None:
    def fail(db, seal) -> None:
        db.execute("INSERT INTO spent VALUES (?, ?, ?, ?)", ("grant", 1, 2, "later"))
        raise RuntimeError("on the way")

    async with opened() as kept:
        with pytest.raises(RuntimeError, match="on the way"):
            await kept.run(fail)
        assert await kept.run(lambda db, _: db.execute("SELECT * FROM spent").fetchall()) == []


async def test_works_under_one_lock_do_not_cross(opened) -> None:
    def add(db, seal) -> int:
        row = db.execute("SELECT rows FROM spent WHERE grant_id = ?", ("one",)).fetchone()
        found = row[0] if row else 0
        db.execute(
            "INSERT INTO spent VALUES ('one', ?, 0, '') ON CONFLICT (grant_id) DO UPDATE "
            "SET rows = excluded.rows",
            (found + 1,),
        )
        return int(found) + 1

    async with opened() as kept:
        counted = await asyncio.gather(*(kept.run(add, "one") for _ in range(40)))
    assert sorted(counted) == list(range(1, 41))


async def test_a_version_that_was_passed_is_a_conflict(opened) -> None:
    async with opened() as kept:
        vault = EmbeddedVault(kept)
        puts = [vault.put(change(str(n), expected_version=0), NOW) for n in range(6)]
        made = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(isinstance(each, VersionConflict) for each in made) == 5
        assert (await vault.get("ds-1")).version == 1


async def test_rows_that_were_moved_do_not_open(opened) -> None:
    def swap(db, _) -> None:
        db.execute("UPDATE secrets SET owner = ? WHERE source_id = ?", ("owner-2", "ds-1"))

    async with opened() as kept:
        await EmbeddedVault(kept).put(change("one"), NOW)
        await kept.run(swap)
        with pytest.raises(Exception, match="damaged"):
            await EmbeddedVault(kept).get("ds-1")


async def test_resealing_beside_others_work_loses_nothing(opened) -> None:
    async with opened() as kept:
        vault = EmbeddedVault(kept)

        async def put(number: int) -> None:
            await vault.put(change(f"v-{number}", source_id=f"ds-{number}"), NOW)

        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(put(number))
                if number % 5 == 0:
                    tasks.create_task(kept.reseal())
        found = [(await vault.get(f"ds-{n}")).fields["password"] for n in range(20)]
    assert found == [Secret(f"v-{n}") for n in range(20)]


async def test_a_lease_is_claimed_by_one(opened) -> None:
    async with opened() as kept:
        book = Book(kept, Clock())
        await book.add("lease-1", "ds-1", "owner-1", 60.0)
        assert not await book.claim("lease-1")
        await book.give_up("source_id", "ds-1")
        assert sorted(await asyncio.gather(*(book.claim("lease-1") for _ in range(5)))) == [
            *[False] * 4,
            True,
        ]
        assert await book.given_up() == []
        await book.leave("lease-1")
        assert await book.given_up() == ["lease-1"]


# Two services on one database


@dataclass
class Pair:
    one: rpc.CredentialServiceStub
    other: rpc.CredentialServiceStub
    settings: Settings
    addresses: tuple[str, str]


@asynccontextmanager
async def pair(settings: Settings, **changes):
    async with AsyncExitStack() as stack:
        services = [Service(settings), Service(settings)]
        stubs = [await stack.enter_async_context(each.started(**changes)) for each in services]
        yield Pair(stubs[0], stubs[1], settings, (services[0].address, services[1].address))


@pytest.fixture
async def two(url: Secret, home: Path) -> AsyncIterator[Pair]:
    async with pair(Settings(home=home, database_url=url, key=KEY, key_lead_s=0)) as both:
        yield both


async def test_what_one_stores_and_mints_the_other_redeems(two: Pair) -> None:
    await two.one.PutSecret(put_request())
    grant = await minted(two.other)
    assert await redeemed(two.one, grant) == {"password": "pass-word-1"}
    assert await redeemed(two.other, grant) == {"password": "pass-word-1"}


@pytest.mark.req("D3")
async def test_a_watcher_of_one_hears_what_the_other_revokes(two: Pair) -> None:
    async with asyncio.timeout(10):
        async with streaming(two.one.WatchRevocations(pb.WatchRevocationsRequest())) as call:
            watch = aiter(call)
            assert (await anext(watch)).WhichOneof("event") == "caught_up"
            await two.other.RevokeGrant(pb.RevokeGrantRequest(run_id="run-7"))
            while (event := await anext(watch)).WhichOneof("event") != "revocation":
                pass
            assert event.revocation.run_id == "run-7"


async def test_a_revocation_holds_at_the_other_at_once_and_not_for_what_follows(two: Pair) -> None:
    await two.one.PutSecret(put_request())
    for _ in range(10):
        before = await minted(two.other)
        await two.one.RevokeGrant(pb.RevokeGrantRequest(source_id="ds-1"))
        refused = await refusal(two.other.RedeemGrant(pb.RedeemGrantRequest(grant=before)))
        assert refused.reason == "GRANT_REVOKED"
        assert await redeemed(two.one, await minted(two.other))


async def test_a_secret_that_was_changed_voids_grants_of_the_other(two: Pair) -> None:
    await two.one.PutSecret(put_request())
    grant = await minted(two.other)
    await two.other.PutSecret(put_request(fields={"password": "another-one"}))
    assert (await refusal(two.one.RedeemGrant(pb.RedeemGrantRequest(grant=grant)))).reason == (
        "GRANT_REVOKED"
    )
    assert await redeemed(two.one, await minted(two.one)) == {"password": "another-one"}


@pytest.mark.req("S1")
async def test_keys_that_one_makes_the_other_publishes_and_believes(two: Pair) -> None:
    await two.one.PutSecret(put_request())
    old = await minted(two.other)
    made = await asyncio.gather(
        two.one.RotateKeys(pb.RotateKeysRequest()), two.other.RotateKeys(pb.RotateKeysRequest())
    )
    published = await two.other.GrantKeys(pb.GrantKeysRequest())
    assert {each.key_id for each in made} < {key.key_id for key in published.keys}
    assert len(published.keys) == 3
    for stub in (two.one, two.other):
        assert await redeemed(stub, old)
        assert await redeemed(stub, await minted(two.one))
        assert await redeemed(stub, await minted(two.other))


async def test_a_budget_is_spent_once_whoever_counts(two: Pair) -> None:
    grant = await minted(two.one, max_rows=100)

    async def spend(stub: rpc.CredentialServiceStub) -> int:
        try:
            answer = await stub.SpendGrant(pb.SpendGrantRequest(grant=grant, rows=7))
        except Exception:
            return 0
        return int(answer.rows)

    taken = await asyncio.gather(*(spend(stub) for _ in range(10) for stub in (two.one, two.other)))
    assert sum(taken) == 100


@pytest.mark.req("S4")
async def test_the_audit_of_both_is_one_chain(two: Pair) -> None:
    await two.one.PutSecret(put_request())
    calls = [stub.MintGrant(mint_request()) for _ in range(15) for stub in (two.one, two.other)]
    await asyncio.gather(*calls)
    head = await asyncio.to_thread(reading.verified, two.settings)
    assert head.number == 31
    lines = await asyncio.to_thread(lambda: list(reading.exported(two.settings)))
    assert [json.loads(line)["number"] for line in lines] == list(range(1, 32))


async def test_a_record_that_is_missing_is_found(two: Pair, postgres: Postgres) -> None:
    await two.one.PutSecret(put_request())
    await minted(two.other)
    await minted(two.one)
    async with looked_into(two.settings) as kept:
        await kept.run(lambda db, _: db.execute("DELETE FROM audit WHERE number = 2"))
        with pytest.raises(ChainBroken):
            await kept.run(audit.verified, snapshot=True)


def looked_into(chosen: Settings):
    assert chosen.database_url is not None
    return shared.reading(chosen.database_url, lambda place: keys_of(chosen, place))


@pytest.mark.req("S1")
async def test_secrets_are_encrypted_in_the_database(two: Pair, postgres: Postgres) -> None:
    await two.one.PutSecret(put_request(fields={"password": "planted-4711"}))
    async with looked_into(two.settings) as kept:
        for table in ("secrets", "lid", "signing_keys", "audit"):
            rows = await kept.run(
                lambda db, _: db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: B023
            )
            assert rows and "planted-4711" not in str(rows)


@pytest.mark.req("S1")
async def test_a_new_key_is_taken_by_all_once_everything_is_under_it(url, home) -> None:
    old, new = KEY.reveal(), new_key().reveal()
    first = Settings(home=home, database_url=url, key=Secret(old))
    both = replace(first, key=Secret(f"{new},{old}"))
    async with Service(first).started() as alone:
        await alone.PutSecret(put_request())
    async with pair(both) as two:
        await two.other.PutSecret(put_request(source_id="ds-2"))
        await two.one.RotateKeys(pb.RotateKeysRequest())
        # written by the other after that: under the new key as well
        await two.other.PutSecret(put_request(source_id="ds-3"))
    async with Service(replace(first, key=Secret(new))).started() as after:
        for source in ("ds-1", "ds-2", "ds-3"):
            assert await redeemed(after, await minted(after, source_id=source))
    with pytest.raises(StoreUnusable, match="does not open"):
        async with Service(first).started():
            pass


@pytest.mark.req("S1")
async def test_a_passphrase_has_its_salt_in_the_database(url, home) -> None:
    chosen = Settings(home=home, database_url=url, passphrase=Secret("correct horse battery"))
    async with pair(chosen) as two:
        await two.one.PutSecret(put_request())
        await two.other.RotateKeys(pb.RotateKeysRequest())
        await two.one.PutSecret(put_request(source_id="ds-2"))
        assert await redeemed(two.one, await minted(two.other))
        assert await redeemed(two.other, await minted(two.one, source_id="ds-2"))
    assert not home.exists()


async def test_replicas_that_start_at_once_agree_on_one_key_ring(url, home) -> None:
    chosen = Settings(home=home, database_url=url, key=KEY)
    services = [Service(chosen) for _ in range(3)]
    async with AsyncExitStack() as stack:
        stubs = await asyncio.gather(
            *(stack.enter_async_context(each.started()) for each in services)
        )
        keys = [await stub.GrantKeys(pb.GrantKeysRequest()) for stub in stubs]
        assert len({key.key_id for told in keys for key in told.keys}) == 1


async def test_one_changed_file_of_sources_voids_grants_once(url, home, tmp_path) -> None:
    file = tmp_path / "sources.yaml"

    def declare(host: str) -> None:
        file.write_text(
            "sources:\n  - name: shop\n    owner: owner-1\n    type: postgresql\n"
            f"    config: {{host: {host}}}\n    secrets: {{password: file:{tmp_path}/secret}}\n"
        )
        file.chmod(0o600)

    (tmp_path / "secret").write_text("declared-1")
    (tmp_path / "secret").chmod(0o600)
    declare("one")
    chosen = Settings(home=home, database_url=url, key=KEY, sources_file=file)
    async with pair(chosen) as two:
        listed = [await s.ListDeclaredSources(pb.ListDeclaredSourcesRequest()) for s in _both(two)]
        assert [each.version for told in listed for each in told.sources] == [1, 1]
        declare("other")
        async with asyncio.timeout(20):
            for stub in _both(two):
                while True:
                    told = await stub.ListDeclaredSources(pb.ListDeclaredSourcesRequest())
                    if [each.version for each in told.sources] == [2]:
                        break
                    await asyncio.sleep(0.1)
        lines = await asyncio.to_thread(lambda: list(reading.exported(chosen)))
        voided = [line for line in lines if json.loads(line)["operation"] == "revoke_grant"]
        assert len(voided) == 1


def _both(two: Pair) -> tuple[rpc.CredentialServiceStub, rpc.CredentialServiceStub]:
    return two.one, two.other


@pytest.mark.req("S5")
async def test_a_connector_goes_on_while_one_replica_restarts(url, home) -> None:
    chosen = Settings(home=home, database_url=url, key=KEY)
    async with AsyncExitStack() as stack:
        first, second = Service(chosen), Service(chosen)
        ending = await stack.enter_async_context(AsyncExitStack())
        await ending.enter_async_context(first.started())
        stub = await stack.enter_async_context(second.started())
        await stub.PutSecret(put_request())
        gate = await stack.enter_async_context(
            Gate(f"{first.address},{second.address}", None, "postgresql")
        )

        async def read() -> None:
            grant = gate.admit(await minted(stub), "read")
            assert (await gate.secrets(grant))["password"].reveal() == "pass-word-1"

        await read()
        await ending.aclose()
        for _ in range(5):
            await read()
        await stub.RevokeGrant(pb.RevokeGrantRequest(source_id="ds-1"))
        grant = await minted(stub)
        assert gate.admit(grant, "read").source_id == "ds-1"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "DATABASE_URL expects KEY"),
        ({"key": KEY, "database_url": Secret("sqlite:///x")}, "postgresql\\+asyncpg"),
        (
            {
                "key": KEY,
                "vault": "hashicorp",
                "vault_auth": "approle",
                "vault_role": "r",
                "vault_wrapped_secret_id": Secret("once"),
            },
            "opens once",
        ),
    ],
)
def test_what_cannot_work_on_several_replicas_is_refused(home, changes, told) -> None:
    given = {"database_url": Secret("postgresql+asyncpg://u:p@db/credentials"), **changes}
    with pytest.raises(ValueError, match=told):
        Settings(home=home, **given)


async def test_a_database_that_is_away_is_told_at_the_start(home) -> None:
    url = Secret("postgresql+asyncpg://u:very-secret@127.0.0.1:1/x")
    with pytest.raises(SettingsError, match="DATABASE_URL") as refused:
        async with Service(Settings(home=home, database_url=url, key=KEY)).started():
            pass
    assert "very-secret" not in str(refused.value)
