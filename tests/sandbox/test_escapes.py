"""Every attempt of the table, in every tier, from one program each."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.status import RemoteFault
from services.sandbox.isolation import interpreter
from services.sandbox.isolation.port import Account
from tests.sandbox.boxes import TIERS, Place, place
from tests.sandbox.escapes import ESCAPES, PRELUDE, Escape
from tests.sandbox.yard import Yard, open_yard, program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def yard(sandbox: Place) -> AsyncIterator[Yard]:
    async with open_yard(sandbox) as made:
        yield made


async def test_table_is_large_enough() -> None:
    assert len(ESCAPES) >= 140
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES)


@pytest.mark.req("X2", "X3")
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_escape_is_refused(yard: Yard, escape: Escape) -> None:
    ran = await yard.box.run(program(escape, yard.words), timeout_s=15)
    assert ran.finished.outcome in (pb.OUTCOME_OK, pb.OUTCOME_DIED), ran.traceback
    if ran.finished.outcome == pb.OUTCOME_DIED:  # the sandbox itself was what it hit
        await yard.box.run(PRELUDE)
        return
    assert ran.out.startswith("refused"), ran.out


CONTROLS = (
    *("ipv4", "udp", "unix socket outside", "abstract socket", "secret outside"),
    *("secret through a link", "secret by a shell", "command lines of all"),
    *("shared memory of others", "wider Landlock or seccomp"),
)


async def test_attempts_succeed_where_nothing_isolates() -> None:
    """The table would prove nothing if its programs could never get at anything."""
    async with place("none") as sandbox, open_yard(sandbox) as yard:
        for escape in ESCAPES:
            if escape.name in CONTROLS:
                ran = await yard.box.run(program(escape, yard.words))
                assert ran.out.startswith("got"), (escape.name, ran.out, ran.traceback)


async def test_planted_link_is_not_read_out(yard: Yard) -> None:
    await yard.box.run(f"import os; os.symlink({yard.words['secret']!r}, 'planted.txt')")
    assert "planted.txt" not in await yard.box.files()
    with pytest.raises(RemoteFault) as told:
        await yard.box.read("planted.txt")
    assert told.value.reason == "UNSAFE_PATH"


_USER = 61_000


@pytest.mark.req("X2", "X3")
@pytest.mark.skipif(os.geteuid() != 0, reason="the table above ran as an ordinary user already")
@pytest.mark.parametrize("tier", TIERS)
async def test_escapes_are_refused_where_the_service_is_an_ordinary_user(tier: str) -> None:
    """Its kernels then have the account of the service itself."""
    account = Account(_USER, _USER, switch=True)
    python = interpreter.choose(None, account)
    command = account.command([str(python.executable), "-m", "tests.sandbox.as_user", tier])
    paths = [ROOT, ROOT / "gen", *python.packages, *_site_packages()]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()[-4000:]
    assert json.loads(told) == {}


def _site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("-packages")]
