"""Where a gateway's state lies, and the commands of who runs it."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.azurite import Azurite
from dev.postgres import Postgres
from servicekit.secrets import Secret
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.upkeep import commands

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("laptop", "production")
KEY_HASH = "a-long-random-word"


@dataclass(frozen=True)
class Place:
    """Where a gateway's state lies."""

    url: str
    files: FilesSettings
    home: Path
    # the environment of a command that works on it
    environ: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """What a gateway's settings have beside its home."""
        if self.url.startswith("sqlite"):
            return {}
        return {
            "database_url": Secret(self.url),
            "key_hash": Secret(KEY_HASH),
            "files": self.files,
        }


@asynccontextmanager
async def place_of(
    kind: str, home: Path, postgres: Postgres, azurite: Azurite
) -> AsyncIterator[Place]:
    """ "laptop": SQLite and a folder; "production": PostgreSQL and a container."""
    home.mkdir(mode=0o700)
    environ = {"ISOBATH_GATEWAY_HOME": str(home)}
    if kind == "laptop":
        yield Place(f"sqlite+aiosqlite:///{home / 'gateway.db'}", FilesSettings(), home, environ)
        return
    async with postgres.database() as name, azurite.container() as container:
        url = postgres.dsn_of(name).replace("postgresql://", "postgresql+asyncpg://")
        files_url = f"{azurite.account_url}/{container.container_name}"
        environ |= {
            "ISOBATH_GATEWAY_DATABASE_URL": url,
            "ISOBATH_GATEWAY_KEY_HASH": KEY_HASH,
            "ISOBATH_GATEWAY_FILES_URL": files_url,
            "ISOBATH_GATEWAY_FILES_ACCOUNT_KEY": azurite.key,
        }
        files = FilesSettings(url=files_url, account_key=Secret(azurite.key), retries=1)
        yield Place(url, files, home, environ)


async def command(place: Place, *words: str, **more: str) -> tuple[int, str]:
    """`… services.gateway …`, in this process: its exit code, and what it said."""
    parser = argparse.ArgumentParser()
    commands.add(parser.add_subparsers())
    environ = place.environ | {f"ISOBATH_GATEWAY_{name}": value for name, value in more.items()}
    told = await commands.acted(parser.parse_args(words), environ, "ISOBATH_GATEWAY_")
    return told.code, "".join(f"{line}\n" for line in told.lines)


async def process(place: Place, *words: str, **more: str) -> tuple[int, str, str]:
    """The same as a process of its own."""
    environ = {"PATH": os.environ["PATH"], **place.environ}
    environ |= {f"ISOBATH_GATEWAY_{name}": value for name, value in more.items()}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", *words,
        cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await started.communicate()
    except asyncio.CancelledError:
        started.kill()
        await started.wait()
        raise
    assert started.returncode is not None
    return started.returncode, out.decode(), err.decode()
