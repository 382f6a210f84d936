"""What a shell offers, as it asks for it."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateway.conftest import ANSWER, KEY, Platform

ISOBATH = Path(sys.executable).with_name("isobath")


async def offered(platform: Platform, line: str, **environ: str) -> list[str]:
    asking = {"_ISOBATH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    where = {"ISOBATH_ADDRESS": platform.grpc_address, "ISOBATH_API_KEY": KEY}
    ran = await asyncio.to_thread(
        subprocess.run,
        [ISOBATH],
        env={**os.environ, **where, **asking, **environ},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0 and not ran.stderr, ran.stderr
    # in each line "word":"a word about it", where \\ stands before a colon
    found = re.findall(r'"((?:[^"\\]|\\.)*)":"', ran.stdout)
    return [each.replace("\\", "") for each in found]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("isobath sources check s", ["shop", "store"]),
        ("isobath ask x --data sh", ["shop"]),
        ("isobath ask x -d shop:", ["shop:public.orders"]),
        ("isobath ask x -d shop:public.o", ["shop:public.orders"]),
        ("isobath ask x -d shop:x", []),
        ("isobath ask x --model t", ["tiny", "tiny:plain"]),
    ],
)
async def test_names_and_paths_are_offered(platform: Platform, line: str, words: list[str]) -> None:
    await platform.source("shop")
    await platform.source("store")
    assert await offered(platform, line) == words


async def test_ids_are_offered(platform: Platform) -> None:
    platform.models.turns = [ANSWER.format("one")]
    reply = await platform.chat()
    run = (await platform.http.get("/v1/runs")).json()["data"][0]["id"]
    assert reply.status_code == 200
    assert await offered(platform, "isobath runs watch run-") == [run]
    assert len(await offered(platform, "isobath threads show ")) == 1
    files = [each["id"] for each in (await platform.http.get("/v1/files")).json()["data"]]
    assert await offered(platform, "isobath files download ") == files


async def test_nothing_is_said_where_the_gateway_is_away(platform: Platform) -> None:
    begun = time.monotonic()
    assert await offered(platform, "isobath sources check s", ISOBATH_ADDRESS="127.0.0.1:9") == []
    assert await offered(platform, "isobath --address 127.0.0.1:9 sources check s") == []
    assert await offered(platform, "isobath sources check s", ISOBATH_API_KEY="isb-wrong") == []
    # a shell that waits is a shell that hangs; each gives up within its two seconds
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
async def test_completion_is_installed_for_the_shell(shell: str, file: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    command = [shell, "-c", f"{ISOBATH} --install-completion; true"]
    environ = {**os.environ, "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path)}
    await asyncio.to_thread(subprocess.run, command, env=environ, check=True, capture_output=True)
    assert any("isobath" in each.read_text().lower() for each in tmp_path.rglob("*isobath*"))
    assert (tmp_path / file).is_file()
