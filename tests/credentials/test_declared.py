"""The file of declared sources, as text and in the running service."""

import asyncio
import json
import textwrap
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.postgres import Postgres
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.secrets import Secret
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from services.blob_connector import describing as blob
from services.credentials import declarations
from services.credentials.app import mount
from services.credentials.declared import DeclaredWrong, entries
from services.credentials.settings import Settings
from services.pg_connector import describing as postgresql
from tests.credentials import kv_double
from tests.credentials.conftest import mint_request, put_request
from tests.credentials.database_double import PAGE, Engine, managed

SCHEMAS: dict[str, Any] = {each.TYPE: each for each in (blob, postgresql)}
pytestmark = pytest.mark.req("D7", "D2")
GOOD = """\
sources:
  - name: shop
    owner: analytics
    type: postgresql
    description: Orders
    config:
      host: db.internal
      port: 5432
    secrets:
      password: env:SHOP_PASSWORD
"""


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(DeclaredWrong) as wrong:
        entries(text)
    return [(each.line, each.text) for each in wrong.value.problems]


def test_entry_is_read() -> None:
    (entry,) = entries(GOOD)
    assert (entry.name, entry.owner, entry.type) == ("shop", "analytics", "postgresql")
    assert entry.config == {"host": "db.internal", "port": 5432}
    assert str(entry.secrets["password"]) == "env:SHOP_PASSWORD"
    assert entry.line == 2


def test_id_stays_with_owner_and_name_and_version_with_what_is_read() -> None:
    (before,) = entries(GOOD)
    (renamed,) = entries(GOOD.replace("name: shop", "name: store"))
    (described,) = entries(GOOD.replace("Orders", "Customers"))
    (moved,) = entries(GOOD.replace("5432", "5433"))
    assert renamed.source_id != before.source_id == described.source_id == moved.source_id
    assert described.digest == before.digest != moved.digest


@pytest.mark.parametrize(
    ("change", "line", "told"),
    [
        (("name: shop", "name: a b"), 2, "name takes"),
        (("name: shop", "name: 7"), 2, "name is a text"),
        (("    owner: analytics\n", ""), 2, "owner is missing"),
        (("description:", "descripton:"), 5, "descripton is not known"),
        (("port: 5432", "port: 5432\n      port: 1"), 9, "port is there twice"),
        (("port: 5432", "password: hunter2"), 8, "looks like a secret"),
        (("port: 5432", "since: 2026-01-01"), 8, "a setting is text"),
        (("port: 5432", "since: !!python/name:os.system x"), 8, "no YAML"),
        (("env:SHOP_PASSWORD", "hunter2"), 10, "a secret is a reference"),
        (("env:SHOP_PASSWORD", "vault:kv/path"), 10, "a secret is a reference"),
        (("env:SHOP_PASSWORD", "file:relative"), 10, "a secret is a reference"),
        (("    type: postgresql", "   type: postgresql"), 4, "no YAML"),
        (("sources:", "source:"), 1, "source is not known"),
    ],
)
def test_mistake_is_told_with_its_line(change: tuple[str, str], line: int, told: str) -> None:
    found = problems(GOOD.replace(*change))
    assert any(each[0] == line and told in each[1] for each in found), found
    assert "hunter2" not in str(found)


def test_nesting_without_end_is_told() -> None:
    assert problems("[" * 5000) == [(1, "it is nested too deeply")]


def test_every_mistake_is_told_at_once() -> None:
    text = GOOD + GOOD.removeprefix("sources:\n").replace("env:SHOP", "plain:SHOP")
    text += GOOD.removeprefix("sources:\n").replace("owner: analytics", "owner: 7")
    assert [line for line, _ in problems(text)] == [19, 20, 21]


def test_same_name_of_the_same_owner_is_told_with_both_lines() -> None:
    text = GOOD + GOOD.removeprefix("sources:\n")
    assert problems(text) == [(11, "analytics has a source shop on line 2 already")]


@given(st.text(max_size=200) | st.text("- :{}[]#&*!|>\n\t abs:", max_size=60))
def test_any_text_is_read_or_told(text: str) -> None:
    try:
        entries(text)
    except DeclaredWrong as wrong:
        assert all(each.line >= 1 for each in wrong.problems)


@dataclass
class Operator:
    """Writes the file, and waits until the service has read it."""

    file: Path
    stub: rpc.CredentialServiceStub
    owner: str = "analytics"

    async def sources(self) -> list[pb.DeclaredSource]:
        listed = await calling(self.stub.ListDeclaredSources(pb.ListDeclaredSourcesRequest()))
        return list(listed.sources)

    async def write(self, text: str, until: Any) -> None:
        self.file.write_text(text)
        async with asyncio.timeout(20):
            while not until(await self.sources()):
                await asyncio.sleep(0.01)

    async def grant(self) -> str:
        (source,) = await self.sources()
        request = mint_request(
            owner=source.owner,
            source_id=source.source_id,
            source_type=source.type,
            source_version=source.version,
            config={key: source.config[key] for key in source.config},
        )
        return str((await calling(self.stub.MintGrant(request))).grant)

    async def redeemed(self, grant: str) -> Mapping[str, str]:
        answer = await calling(self.stub.RedeemGrant(pb.RedeemGrantRequest(grant=grant)))
        return dict(answer.fields)

    async def refused(self, grant: str) -> str:
        with pytest.raises(RemoteFault) as refused:
            await self.redeemed(grant)
        return refused.value.reason


@asynccontextmanager
async def started(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, **changes: Any
) -> AsyncIterator[Operator]:
    file = folder / "sources.yaml"
    file.write_text(text)
    settings = Settings(home=folder / "home", sources_file=file, key_lead_s=0.0)
    given = partial(mount, environ=environ or {"SHOP_PASSWORD": "pass-1"})
    async with (
        running((given, replace(settings, **changes))) as server,
        open_channel(server) as channel,
    ):
        yield Operator(file, rpc.CredentialServiceStub(channel))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declarations, "_LOOK_S", 0.02)


async def test_declared_source_is_told_without_its_secret_and_redeemed(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        (source,) = await operator.sources()
        assert (source.name, source.version, source.line) == ("shop", 1, 2)
        assert list(source.secrets_set) == ["password"]
        assert "pass-1" not in str(source)
        assert await operator.redeemed(await operator.grant()) == {"password": "pass-1"}


async def test_secret_is_read_from_where_it_lies_each_time(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    text = GOOD.replace("env:SHOP_PASSWORD", f"file:{secret}")
    async with started(tmp_path, text) as operator:
        grant = await operator.grant()
        assert await operator.redeemed(grant) == {"password": "first"}
        secret.write_text("second\n")
        assert await operator.redeemed(grant) == {"password": "second"}
        secret.unlink()
        assert await operator.refused(grant) == "SERVICE_UNAVAILABLE"


async def test_secret_comes_from_vault(tmp_path: Path) -> None:
    text = GOOD.replace("env:SHOP_PASSWORD", "vault:secret/team/shop#password")
    with kv_double.running() as (url, kept):
        kept.versions["team/shop"] = [{"data": {"password": "kv-1"}, "metadata": {"version": 1}}]
        vault: dict[str, Any] = {"vault_url": url, "vault_token": Secret(kv_double.TOKEN)}
        async with started(tmp_path, text, **vault) as operator:
            grant = await operator.grant()
            assert await operator.redeemed(grant) == {"password": "kv-1"}
            kept.versions["team/shop"][0]["data"] = {"other": "x"}
            assert await operator.refused(grant) == "SERVICE_UNAVAILABLE"


async def test_change_makes_another_version_and_voids_the_grants_of_the_old(
    tmp_path: Path,
) -> None:
    async with started(tmp_path, GOOD) as operator:
        old = await operator.grant()
        await operator.write(GOOD.replace("5432", "5433"), lambda found: found[0].version == 2)
        assert await operator.refused(old) == "GRANT_REVOKED"
        assert await operator.redeemed(await operator.grant()) == {"password": "pass-1"}


async def test_change_that_only_people_read_voids_nothing(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        grant = await operator.grant()
        text = GOOD.replace("Orders", "Customers")
        await operator.write(text, lambda found: found[0].description == "Customers")
        assert (await operator.sources())[0].version == 1
        assert await operator.redeemed(grant) == {"password": "pass-1"}


async def test_entry_taken_out_is_gone_and_comes_back_as_a_later_version(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        old = await operator.grant()
        await operator.write("sources: []\n", lambda found: not found)
        assert await operator.refused(old) == "GRANT_REVOKED"
        await operator.write(GOOD, bool)
        assert (await operator.sources())[0].version == 2
        assert await operator.refused(old) == "GRANT_REVOKED"


async def test_change_while_the_service_was_down_voids_grants_too(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        old = await operator.grant()
    async with started(tmp_path, GOOD) as operator:
        assert (await operator.sources())[0].version == 1
        assert await operator.redeemed(old) == {"password": "pass-1"}
    async with started(
        tmp_path, GOOD.replace("env:SHOP", "env:OTHER"), {"OTHER_PASSWORD": "2"}
    ) as (operator):
        assert (await operator.sources())[0].version == 2
        assert await operator.refused(old) == "GRANT_REVOKED"


async def test_wrong_file_is_told_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path, GOOD) as operator:
        operator.file.write_text(GOOD.replace("type:", "typo:"))
        told: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not told:
                lines = capsys.readouterr().err.splitlines()
                told = [json.loads(line) for line in lines if "sources_not_loaded" in line]
                await asyncio.sleep(0.01)
        assert {each["line"] for each in told} <= {2, 4}
        assert await operator.redeemed(await operator.grant()) == {"password": "pass-1"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("type:", "typo:"), "sources.yaml:4: typo is not known"),
        (GOOD.replace("SHOP_PASSWORD", "ABSENT"), "sources.yaml:10: env:ABSENT cannot be had"),
        (GOOD.replace("env:SHOP_PASSWORD", "file:/absent"), "No such file"),
        (GOOD.replace("env:SHOP_PASSWORD", "vault:kv/a#b"), "no Vault is set"),
    ],
)
async def test_service_does_not_start_with_a_wrong_file(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(SettingsError) as wrong:
        async with started(tmp_path, text):
            pass
    assert told in str(wrong.value)


async def test_file_that_every_user_may_write_is_not_read(tmp_path: Path) -> None:
    """Such a user could have secrets sent to a host of his own."""
    async with started(tmp_path, GOOD):
        pass
    (tmp_path / "sources.yaml").chmod(0o666)
    with pytest.raises(SettingsError, match="chmod o-w"):
        async with started(tmp_path, GOOD):
            pass


async def test_declared_source_is_not_changed_by_a_call(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        (source,) = await operator.sources()
        put = put_request(source_id=source.source_id, owner=source.owner)
        drop = pb.DeleteSecretRequest(source_id=source.source_id)
        for call in (operator.stub.PutSecret(put), operator.stub.DeleteSecret(drop)):
            with pytest.raises(RemoteFault, match="declared"):
                await calling(call)
        described = await calling(
            operator.stub.DescribeSecret(pb.DescribeSecretRequest(source_id=source.source_id))
        )
        assert (described.version, list(described.fields_set)) == (1, ["password"])


async def test_grant_for_another_owner_or_place_gets_nothing(tmp_path: Path) -> None:
    async with started(tmp_path, GOOD) as operator:
        (source,) = await operator.sources()
        for changes in ({"owner": "other"}, {"config": {"host": "attacker.example"}}):
            fields: dict[str, Any] = {
                "owner": source.owner,
                "source_id": source.source_id,
                "config": {"host": "db.internal", "port": 5432},
                **changes,
            }
            minted = await calling(operator.stub.MintGrant(mint_request(**fields)))
            assert await operator.refused(minted.grant) in ("NOT_FOUND", "GRANT_INVALID")


def test_example_of_the_documents_is_what_the_connectors_take() -> None:
    text = PAGE.read_text().partition("    sources:\n")[2].partition("\n\n")[0]
    found = entries(textwrap.dedent("    sources:\n" + text))
    assert [entry.name for entry in found] == ["shop", "ledger", "exports"]
    for entry in found:
        schemas = SCHEMAS[entry.type]
        jsonschema.validate(entry.config, schemas.CONFIG_SCHEMA)
        jsonschema.validate(dict.fromkeys(entry.secrets, "x"), schemas.SECRETS_SCHEMA)


@pytest.mark.req("D2", "S4")
async def test_planted_secrets_of_every_reference_are_in_no_log_file_or_error(
    tmp_path: Path, postgres: Postgres, told: StringIO
) -> None:
    planted = {kind: f"planted-{kind}-{uuid.uuid4().hex}" for kind in ("env", "file", "vault")}
    (tmp_path / "secret").write_text(planted["file"])
    text = GOOD + f"      key: file:{tmp_path}/secret\n      sas: vault:secret/team/shop#sas\n"
    text = text.replace("port: 5432", "port: 5432\n      vault_role: database/analyst")
    shown: list[str] = []
    async with managed(postgres, "postgres") as made:
        engine = Engine(made, time.monotonic)
        with kv_double.running(database=engine) as (url, kept):
            data = {"sas": planted["vault"]}
            kept.versions["team/shop"] = [{"data": data, "metadata": {"version": 1}}]
            vault = {
                "vault_url": url,
                "vault_token": Secret(kv_double.TOKEN),
                "vault_roles": ("analytics:database/analyst@db.internal",),
            }
            environ = {"SHOP_PASSWORD": planted["env"]}
            async with started(tmp_path, text, environ, **vault) as operator:
                grant = await operator.grant()
                given = await operator.redeemed(grant)
                lease = next(iter(engine.leases))
                shown.append(str(await operator.sources()))
                kept.failures = [500]
                shown.append(await operator.refused(grant))
                engine.broken = True
                await calling(operator.stub.RevokeGrant(pb.RevokeGrantRequest(owner="analytics")))
                shown.append(await operator.refused(await operator.grant()))
    assert (given["key"], given["sas"]) == (planted["file"], planted["vault"])
    everything = told.getvalue() + "".join(shown)
    files = b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())
    for value in (*planted.values(), given["password"]):
        assert value not in everything
        assert value.encode() not in files
    records = [json.loads(line) for line in told.getvalue().splitlines()]
    leases = [record["lease"] for record in records if "lease" in record]
    assert leases == [lease]
