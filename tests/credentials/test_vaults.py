"""One suite for every vault."""

import asyncio
import os
import traceback
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hvac
import pytest

from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.credentials import store
from services.credentials.errors import (
    SecretNotFound,
    StoreDamaged,
    VaultRefused,
    VaultUnavailable,
    VersionConflict,
)
from services.credentials.home import Home
from services.credentials.vaults import hashicorp
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.login import GivenToken
from services.credentials.vaults.port import Change, Record, Vault
from services.credentials.vaults.sharing import SharedReads
from tests.credentials import kv_double, vault_server

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def place() -> Iterator[hashicorp.Place]:
    """A real server where there is one, the double otherwise."""
    folder = f"isobath-test-{uuid.uuid4().hex}/sources"
    with vault_server.found(os.environ) as server:
        if server is not None:
            token = GivenToken(Secret(server.token))
            yield hashicorp.Place(server.url, token, "secret", folder, "", 5.0)
            return
    with kv_double.running() as (url, _):
        yield hashicorp.Place(url, GivenToken(Secret(kv_double.TOKEN)), "secret", folder, "", 5.0)


@asynccontextmanager
async def embedded(home: Path) -> AsyncIterator[Vault]:
    async with store.opened(Home(home)) as kept:
        yield EmbeddedVault(kept)


@asynccontextmanager
async def shared(place: hashicorp.Place) -> AsyncIterator[Vault]:
    async with hashicorp.opened(place) as vault:
        reads = SharedReads(vault)
        yield reads
        await reads.aclose()


@pytest.fixture(params=["embedded", "hashicorp", "shared"])
async def vault(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Vault]:
    if request.param == "embedded":
        opening = embedded(home)
    elif request.param == "shared":
        opening = shared(request.getfixturevalue("place"))
    else:
        opening = hashicorp.opened(request.getfixturevalue("place"))
    async with opening as opened:
        yield opened


def change(expected: int | None = None, clear: tuple[str, ...] = (), **fields: str) -> Change:
    values = {name: Secret(value) for name, value in fields.items()}
    return Change("ds-1", "owner-1", values, frozenset(clear), expected)


@pytest.mark.req("S1", "D2")
async def test_secret_comes_back_as_it_was_put(vault: Vault) -> None:
    put = await vault.put(change(password="p ä\n\x00", sas="s"), NOW)
    record = await vault.get("ds-1")
    assert record.description == put
    assert (put.version, put.fields_set, put.updated_at) == (1, ("password", "sas"), NOW)
    assert record.fields == {"password": Secret("p ä\n\x00"), "sas": Secret("s")}
    assert record.owner == "owner-1"


async def test_description_tells_names_only(vault: Vault) -> None:
    await vault.put(change(password="hidden-value"), NOW)
    described = await vault.describe("ds-1")
    assert described.fields_set == ("password",)
    assert "hidden-value" not in repr(described)


async def test_put_changes_the_fields_that_it_names(vault: Vault) -> None:
    await vault.put(change(password="old", user_key="kept", sas="gone"), NOW)
    after = await vault.put(change(clear=("sas", "absent"), password="new"), LATER)
    assert (after.version, after.updated_at) == (2, LATER)
    fields = (await vault.get("ds-1")).fields
    assert fields == {"password": Secret("new"), "user_key": Secret("kept")}


async def test_field_that_is_set_and_cleared_is_set(vault: Vault) -> None:
    await vault.put(change(password="old"), NOW)
    await vault.put(change(clear=("password",), password="new"), NOW)
    assert (await vault.get("ds-1")).fields == {"password": Secret("new")}


async def test_put_with_the_expected_version_succeeds(vault: Vault) -> None:
    await vault.put(change(0, password="a"), NOW)
    assert (await vault.put(change(1, password="b"), NOW)).version == 2


@pytest.mark.parametrize("expected", [0, 2, 7])
async def test_put_with_another_version_conflicts_and_changes_nothing(
    vault: Vault, expected: int
) -> None:
    await vault.put(change(password="a"), NOW)
    with pytest.raises(VersionConflict):
        await vault.put(change(expected, password="b"), NOW)
    assert (await vault.get("ds-1")).fields == {"password": Secret("a")}


async def test_put_of_an_absent_secret_with_a_version_conflicts(vault: Vault) -> None:
    with pytest.raises(VersionConflict):
        await vault.put(change(3, password="b"), NOW)


async def test_retry_of_a_put_answers_as_the_first_try(vault: Vault) -> None:
    await vault.put(change(0, password="a", sas="s"), NOW)
    first = await vault.put(change(1, clear=("sas",), password="b"), NOW)
    again = await vault.put(change(1, clear=("sas",), password="b"), LATER)
    assert again == first


async def test_put_by_another_owner_is_refused(vault: Vault) -> None:
    await vault.put(change(password="a"), NOW)
    with pytest.raises(InvalidField) as refused:
        await vault.put(replace(change(password="b"), owner="owner-2"), NOW)
    assert refused.value.field == "owner"


@pytest.mark.req("S1")
async def test_secret_is_bound_to_where_its_source_connects(vault: Vault) -> None:
    await vault.put(replace(change(password="a", key="k"), binding="here"), NOW)
    assert (await vault.get("ds-1")).binding == "here"
    for fields in ({}, {"password": "b"}):
        with pytest.raises(InvalidField) as refused:
            await vault.put(replace(change(**fields), binding="there"), NOW)  # type: ignore[arg-type]
        assert refused.value.field == ("fields.key")
    whole = replace(change(1, clear=("key",), password="b"), binding="there")
    first = await vault.put(whole, NOW)
    assert (await vault.get("ds-1")).binding == "there"
    assert await vault.put(whole, LATER) == first
    with pytest.raises(VersionConflict):
        await vault.put(replace(whole, binding="elsewhere"), LATER)


async def test_absent_secret_is_not_found(vault: Vault) -> None:
    for ask in (vault.get, vault.describe):
        with pytest.raises(SecretNotFound):
            await ask("ds-1")


@pytest.mark.req("D3")
async def test_deleted_secret_is_gone_and_its_name_free(vault: Vault) -> None:
    await vault.put(change(password="a"), NOW)
    assert await vault.delete("ds-1")
    assert not await vault.delete("ds-1")
    with pytest.raises(SecretNotFound):
        await vault.get("ds-1")
    assert (await vault.put(change(0, password="b"), NOW)).version == 1


async def test_concurrent_puts_all_count(vault: Vault) -> None:
    await vault.put(change(start="x"), NOW)
    changes = [replace(change(), fields={f"field_{n}": Secret("x")}) for n in range(3)]
    puts = [vault.put(each, NOW) for each in changes]
    versions = [description.version for description in await asyncio.gather(*puts)]
    assert sorted(versions) == [2, 3, 4]
    assert len((await vault.get("ds-1")).fields) == 4


async def test_one_of_concurrent_creations_wins(vault: Vault) -> None:
    puts = [vault.put(change(0, password=f"p{n}"), NOW) for n in range(4)]
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert sum(isinstance(answer, VersionConflict) for answer in answers) == 3


async def test_sources_do_not_meet(vault: Vault) -> None:
    await vault.put(change(password="a"), NOW)
    await vault.put(replace(change(password="b"), source_id="ds-10", owner="owner-2"), NOW)
    await vault.delete("ds-1")
    assert (await vault.get("ds-10")).fields == {"password": Secret("b")}


@pytest.mark.req("S1")
async def test_vault_that_refuses_the_token_is_told(place: hashicorp.Place) -> None:
    token, planted = uuid.uuid4().hex, uuid.uuid4().hex
    async with hashicorp.opened(replace(place, login=GivenToken(Secret(token)))) as vault:
        with pytest.raises(VaultRefused) as failed:
            await vault.put(change(password=planted), NOW)
    shown = "".join(traceback.format_exception(failed.value))
    assert token not in shown
    assert planted not in shown


async def test_vault_that_is_away_is_unavailable(place: hashicorp.Place) -> None:
    away = replace(place, url=f"http://127.0.0.1:{free_port()}", timeout_s=0.5)
    async with hashicorp.opened(away) as vault:
        with pytest.raises(VaultUnavailable) as failed:
            await vault.get("ds-1")
    assert kv_double.TOKEN not in "".join(traceback.format_exception(failed.value))


@pytest.mark.req("S5")
async def test_vault_that_stumbles_is_asked_again() -> None:
    with kv_double.running() as (url, kept):
        place = hashicorp.Place(
            url, GivenToken(Secret(kv_double.TOKEN)), "secret", "isobath", "", 5.0
        )
        async with hashicorp.opened(place) as vault:
            await vault.put(change(password="a"), NOW)
            kept.failures = [412, 429, 503]
            assert (await vault.get("ds-1")).fields == {"password": Secret("a")}


@pytest.mark.parametrize("status", [500, 503])
async def test_vault_write_is_never_repeated_blindly(status: int) -> None:
    with kv_double.running() as (url, kept):
        place = hashicorp.Place(
            url, GivenToken(Secret(kv_double.TOKEN)), "secret", "isobath", "", 5.0
        )
        async with hashicorp.opened(place) as vault:
            with pytest.raises(SecretNotFound):
                await vault.get("ds-1")
            kept.failures, kept.requests = [404, status], 0
            with pytest.raises(VaultUnavailable):
                await vault.put(change(password="a"), NOW)
        assert kept.requests == 2


async def test_vault_document_of_another_source_is_damaged() -> None:
    with kv_double.running() as (url, kept):
        place = hashicorp.Place(
            url, GivenToken(Secret(kv_double.TOKEN)), "secret", "isobath", "", 5.0
        )
        async with hashicorp.opened(place) as vault:
            await vault.put(change(password="a"), NOW)
            kept.versions["isobath/ds-2"] = kept.versions["isobath/ds-1"]
            with pytest.raises(StoreDamaged):
                await vault.get("ds-2")


@pytest.mark.req("S1", "X2")
async def test_reads_at_the_same_time_are_one_and_one_after_a_change_is_fresh() -> None:
    with kv_double.running() as (url, kept):
        token = GivenToken(Secret(kv_double.TOKEN))
        async with shared(hashicorp.Place(url, token, "secret", "isobath", "", 5.0)) as vault:
            await vault.put(change(password="a"), NOW)
            kept.requests = 0
            with kept.lock:
                reads = [asyncio.create_task(vault.get("ds-1")) for _ in range(50)]
                await asyncio.sleep(0.05)
                reads[0].cancel()
            found = await asyncio.gather(*reads, return_exceptions=True)
            assert [type(each) for each in found[:2]] == [asyncio.CancelledError, Record]
            assert kept.requests == 1
            await vault.put(change(password="b"), NOW)
            assert (await vault.get("ds-1")).fields == {"password": Secret("b")}


async def test_read_that_began_before_a_change_does_not_serve_those_after_it(home: Path) -> None:
    class Slow:
        """Answers a read with what was there when it began."""

        def __init__(self, vault: Vault) -> None:
            self.vault, self.go = vault, asyncio.Event()

        async def get(self, source_id: str) -> Record:
            record = await self.vault.get(source_id)
            await self.go.wait()
            return record

        def __getattr__(self, name: str) -> Any:
            return getattr(self.vault, name)

    async with embedded(home) as vault:
        slow = Slow(vault)
        reads = SharedReads(slow)
        await vault.put(change(password="old"), NOW)
        before = asyncio.create_task(reads.get("ds-1"))
        while not reads._coming:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        await reads.put(change(password="new"), NOW)
        after = asyncio.create_task(reads.get("ds-1"))
        slow.go.set()
        assert (await after).fields == {"password": Secret("new")}
        await before


@pytest.mark.req("S1")
async def test_owner_and_source_stand_in_the_metadata_of_vault(place: hashicorp.Place) -> None:
    async with hashicorp.opened(place) as vault:
        await vault.put(change(password="hidden-value"), NOW)
        await vault.put(change(password="hidden-value-2"), NOW)
    client = hvac.Client(
        url=place.url, token=place.login.token(hvac.Client(place.url)).value.reveal()
    )
    told = client.secrets.kv.v2.read_secret_metadata(f"{place.folder}/ds-1", mount_point="secret")
    assert told["data"]["custom_metadata"] == {"source_id": "ds-1", "owner": "owner-1"}
    assert told["data"]["current_version"] == 2
    assert "hidden-value" not in str(told)


async def test_secret_is_stored_where_its_metadata_may_not_be() -> None:
    with kv_double.running() as (url, kept):
        place = hashicorp.Place(
            url, GivenToken(Secret(kv_double.TOKEN)), "secret", "isobath", "", 5.0
        )
        async with hashicorp.opened(place) as vault:
            kept.refuse_metadata = True
            assert (await vault.put(change(password="a"), NOW)).version == 1
            assert (await vault.get("ds-1")).fields == {"password": Secret("a")}


@pytest.mark.req("S1", "S5")
async def test_standby_leads_to_the_active_server() -> None:
    with kv_double.running() as (url, active), kv_double.running() as (standby, kept):
        kept.active = url
        token = GivenToken(Secret(kv_double.TOKEN))
        place = hashicorp.Place(standby, token, "secret", "isobath", "", 5.0)
        async with hashicorp.opened(place) as vault:
            await vault.put(change(password="a"), NOW)
            assert (await vault.get("ds-1")).fields == {"password": Secret("a")}
    assert list(active.versions) == ["isobath/ds-1"]
    assert not kept.versions
