import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from isobath.credentials.v1 import credentials_pb2 as pb
from isobath_client.cli import app
from servicekit.chain import ChainBroken, followed
from services.credentials import audit, reading, store
from services.credentials.clock import Clock
from services.credentials.home import Home
from services.credentials.settings import Settings
from tests.credentials.conftest import Service, mint_request, put_request
from tests.credentials.test_servicer import redeemed, refusal


async def used(service: Service) -> None:
    """Every kind of record once."""
    async with service.started() as stub:
        await stub.PutSecret(put_request())
        grant = (await stub.MintGrant(mint_request())).grant
        await redeemed(stub, grant)
        await stub.RevokeGrant(pb.RevokeGrantRequest(source_id="ds-1", cause="a test"))
        await refusal(redeemed(stub, grant))
        await stub.DeleteSecret(pb.DeleteSecretRequest(source_id="ds-1"))


def alter(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / "store.db")) as db, db:
        db.execute(statement)


@pytest.mark.req("S4")
async def test_each_act_is_recorded_with_who_what_when_and_why(
    service: Service, home: Path
) -> None:
    await used(service)
    records = [json.loads(line) for line in reading.exported(Settings(home=home))]
    assert [(each["operation"], each.get("refused", "")) for each in records] == [
        ("put_secret", ""),
        ("mint_grant", ""),
        ("redeem_grant", ""),
        ("revoke_grant", ""),
        ("redeem_grant", "RevokedGrant"),
        ("delete_secret", ""),
    ]
    assert all(each["at"] and each["caller"] and each["request_id"] for each in records)
    assert records[3]["cause"] == "a test"
    assert records[4]["source_id"] == "ds-1"
    assert "pass-word-1" not in json.dumps(records)
    assert reading.verified(Settings(home=home)).number == 6


@pytest.mark.req("S4")
@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE audit SET line = replace(line, 'ds-1', 'ds-2') WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 6", 6),
        ("DELETE FROM audit", 1),
        ("INSERT INTO audit VALUES (7, '{}')", 7),
    ],
)
async def test_tampering_is_found_also_after_more_was_written(
    service: Service, home: Path, statement: str, number: int
) -> None:
    await used(service)
    alter(home, statement)
    for _ in range(2):
        with pytest.raises(ChainBroken) as found:
            reading.verified(Settings(home=home))
        assert found.value.number == number
        await used(service)


async def test_chain_goes_on_after_restarts_and_rotation(service: Service, home: Path) -> None:
    for _ in range(2):
        async with service.started() as stub:
            await stub.PutSecret(put_request())
            await stub.RotateKeys(pb.RotateKeysRequest())
    assert reading.verified(Settings(home=home)).number == 4


async def test_records_at_the_same_time_are_all_in_the_chain(home: Path) -> None:
    async with store.opened(Home(home)) as kept:
        trail = await audit.load(kept, Clock())

        async def act(number: int) -> None:
            async with trail.audited("act", n=number):
                pass

        await asyncio.gather(*(act(n) for n in range(50)))
        lines = await kept.run(lambda db, _: list(audit.lines(db)))
        assert followed(lines) == await kept.run(audit.verified)
    assert {json.loads(line)["n"] for line in lines} == set(range(50))


async def test_nothing_is_given_when_it_cannot_be_recorded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with service.started() as stub:
        await stub.PutSecret(put_request())
        grant = (await stub.MintGrant(mint_request())).grant
        with monkeypatch.context() as patch:
            patch.setattr(audit, "_write", full)
            assert (await refusal(redeemed(stub, grant))).reason == "INTERNAL"
        assert await redeemed(stub, grant) == {"password": "pass-word-1"}


@pytest.mark.req("S4")
async def test_exported_trail_is_verified_by_the_command(
    service: Service, home: Path, tmp_path: Path
) -> None:
    await used(service)
    environ = {**os.environ, "ISOBATH_CREDENTIALS_HOME": str(home)}

    def command(action: str) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "services.credentials", "audit", action]
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)

    verified = await asyncio.to_thread(command, "verify")
    assert (verified.returncode, "its head is 6:" in verified.stdout) == (0, True)
    lines = (await asyncio.to_thread(command, "export")).stdout.splitlines(keepends=True)
    head = verified.stdout.split()[-1]
    assert verdict(tmp_path, lines) == verdict(tmp_path, lines, head) == 0
    assert verdict(tmp_path, lines[:-1]) == 0
    assert verdict(tmp_path, lines[:-1], head) == 1
    assert verdict(tmp_path, lines[1:]) == 1
    assert verdict(tmp_path, [line.replace("local", "other") for line in lines]) == 1
    alter(home, "DELETE FROM audit WHERE number = 6")
    broken = await asyncio.to_thread(command, "verify")
    assert broken.returncode == 1
    assert "record 6" in broken.stderr and "Traceback" not in broken.stderr


def verdict(folder: Path, lines: list[str], head: str = "") -> int:
    (folder / "trail.jsonl").write_text("".join(lines))
    words = ["audit", "verify", str(folder / "trail.jsonl"), *(["--head", head] if head else [])]
    return CliRunner().invoke(app, words).exit_code
