"""Where escapes are tried: a session, and beside it what it must not reach."""

import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.sandbox import app
from tests.sandbox.boxes import Box, Place
from tests.sandbox.escapes import PRELUDE, Escape


@dataclass
class Yard:
    box: Box
    words: dict[str, object]


@asynccontextmanager
async def open_yard(sandbox: Place) -> AsyncIterator[Yard]:
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
                    "home": str(sandbox.home),
                    "code": app.__file__,
                },
            )
    finally:
        os.environ.pop("PLANTED_SECRET", None)
        for closing in (listening, abstract):
            closing.close()
        for file in (secret, door, shared):
            file.unlink(missing_ok=True)
        folder.rmdir()


def program(escape: Escape, words: dict[str, object]) -> str:
    body = escape.attempt.format(**words).replace("\n", "\n    ")
    return (
        f"def attempt():\n    {body}\n"
        "try:\n    got = attempt()\nexcept (NameError, SyntaxError):\n    raise\nexcept BaseException as exc:\n    got = None\n"
        "    print('refused by', repr(exc))\n"
        "else:\n    print('got', repr(got)[:200]) if got else print('refused')"
    )
