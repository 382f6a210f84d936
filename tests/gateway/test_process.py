"""The gateway as a process of its own: settings, first key, keys for owners, a clean end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from servicekit.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def gateway(
    folder: Path, *arguments: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    environ: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "ISOBATH_GATEWAY_HOME": str(folder / "gateway"),
        **{f"ISOBATH_GATEWAY_{name}": value for name, value in variables.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        *arguments,
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def up(address: str) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.get(f"http://{address}/health")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def status(address: str, key: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"authorization": f"Bearer {key}"}
        return (await client.get(f"http://{address}/v1/files", headers=headers)).status_code


@pytest.mark.req("S2", "S8")
async def test_first_start_prints_a_key_once_and_ends_cleanly(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    told: list[str] = []
    for _ in range(2):
        async with gateway(tmp_path, HTTP_BIND=address, SERVER_BIND="127.0.0.1:0") as process:
            await up(address)
            assert await status(address, "isb-wrong") == 401
            if told:
                assert await status(address, told[0].split("isb-")[1].split()[0]) == 401
                key = "isb-" + told[0].split("isb-")[1].split()[0]
                assert await status(address, key) == 200
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0, err.decode()
            told.append(out.decode() + err.decode())
    assert told[0].count("isb-") == 1
    assert "isb-" not in told[1]
    assert (tmp_path / "gateway").stat().st_mode & 0o077 == 0


@pytest.mark.req("S2")
async def test_key_of_the_settings_and_of_a_new_owner_are_accepted(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("isb-given\n")
    address = f"127.0.0.1:{free_port()}"
    async with gateway(
        tmp_path, HTTP_BIND=address, SERVER_BIND="127.0.0.1:0", API_KEY_FILE=str(key)
    ) as process:
        await up(address)
        assert await status(address, "isb-given") == 200
        async with gateway(tmp_path, "keys", "create", "--owner", "someone") as making:
            out, err = await asyncio.wait_for(making.communicate(), 20)
            assert making.returncode == 0, err.decode()
        assert await status(address, out.decode().split()[-1]) == 200
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert b"isb-" not in out + err


async def test_settings_that_cannot_be_are_told_plainly(tmp_path: Path) -> None:
    async with gateway(tmp_path, HTTP_BIND="nowhere", ROUNDS="many") as process:
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"ISOBATH_GATEWAY_ROUNDS" in err and b"Traceback" not in err
