"""Every attempt of the table, in every tier, from one program each."""

import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.status import RemoteFault
from tests.sandbox.boxes import Box, Place, place
from tests.sandbox.escapes import ESCAPES, PRELUDE, Escape

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Yard:
    box: Box
    words: dict[str, object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def yard(sandbox: Place) -> AsyncIterator[Yard]:
    async with _yard(sandbox) as made:
        yield made


@asynccontextmanager
async def _yard(sandbox: Place) -> AsyncIterator[Yard]:
    """A session, and what it must not reach: a readable secret, a socket that anybody may connect
    to, another session's workspace, a marked environment, a name in shared memory."""
    os.environ["PLANTED_SECRET"] = "PLANTED"
    folder = Path(tempfile.mkdtemp(prefix="isobath-outside-"))
    folder.chmod(0o755)
    secret, door, shared = (
        folder / "secret",
        folder / "s",
        Path("/dev/shm", f"outside-{folder.name}"),
    )
    secret.write_text("planted")
    shared.write_text("planted")
    for file in (secret, shared):
        file.chmod(0o666)
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{folder.name}")
    abstract.listen()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(door))
    listening.listen()
    door.chmod(0o777)
    try:
        async with sandbox.box() as other, sandbox.box() as box:
            await other.run("open('mine.txt', 'w').write('mine')")
            folders = list((sandbox.home / "workspaces").iterdir())
            [its] = [each for each in folders if (each / "mine.txt").exists()]
            await box.run(PRELUDE)
            yield Yard(
                box,
                {
                    "service": os.getpid(),
                    "secret": str(secret),
                    "other": str(its),
                    "socket": str(door),
                    "abstract": f"\0{folder.name}",
                },
            )
    finally:
        os.environ.pop("PLANTED_SECRET", None)
        for closing in (listening, abstract):
            closing.close()
        for file in (secret, door, shared):
            file.unlink()
        folder.rmdir()


def program(escape: Escape, words: dict[str, object]) -> str:
    body = escape.attempt.format(**words).replace("\n", "\n    ")
    return (
        f"def attempt():\n    {body}\n"
        "try:\n    got = attempt()\nexcept BaseException as exc:\n    got = None\n"
        "    print('refused by', repr(exc))\n"
        "else:\n    print('got', repr(got)[:200]) if got else print('refused')"
    )


async def test_table_is_large_enough() -> None:
    assert len(ESCAPES) >= 70
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES)


@pytest.mark.req("X2", "X3")
@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)
async def test_escape_is_refused(yard: Yard, escape: Escape) -> None:
    ran = await yard.box.run(program(escape, yard.words))
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
    async with place("none") as sandbox, _yard(sandbox) as yard:
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
