"""docs/quickstart.md, run from its beginning to its end on the running platform, as it stands there
but for the places of the sources that a reader has of their own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from dev.azurite import Azurite
from dev.postgres import Postgres
from tests.e2e.conftest import ROOT, Platform

pytestmark = [pytest.mark.slow, pytest.mark.req("B1", "C3", "C6", "P1", "P10", "S2")]
PAGE = (ROOT / "docs" / "quickstart.md").read_text()
# what a reader does before and the platform of the tests has behind it
BEFORE = ["make up", "source .venv/bin/activate"]
ACCOUNTS = """
CREATE TABLE accounts (id int PRIMARY KEY, tier text NOT NULL, active boolean NOT NULL);
INSERT INTO accounts SELECT n, chr(64 + n % 3 + 1), n % 2 = 0 FROM generate_series(1, 42) n;
"""
INVOICES = {
    "invoices/2026-01.csv": b"invoice,amount\n1,100.50\n2,200\n",
    "invoices/2026-02.csv": b"invoice,amount\n3,400\n4,50\n",
}


def blocks() -> list[tuple[str, str]]:
    """Language and text of each, in order."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest_asyncio.fixture
async def own(postgres: Postgres, azurite: Azurite) -> AsyncIterator[dict[str, str]]:
    """A database and a container of the reader's own: what stands in the page, and in its place."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres.database())
        connection = await asyncpg.connect(postgres.dsn_of(database))
        await connection.execute(ACCOUNTS)
        await connection.close()
        container = await stack.enter_async_context(azurite.container())
        for name, content in INVOICES.items():
            await container.upload_blob(name, content)
        yield {
            "correct horse": postgres.password,
            "host=db.example.com": f"host={postgres.host}",
            "port=5432": f"port={postgres.port}",
            "database=crm": f"database={database}",
            "user=analyst": f"user={postgres.user}",
            "sslmode=require": "sslmode=prefer",
            "bXkga2V5": azurite.key,
            "https://example.blob.core.windows.net": azurite.account_url,
            "container=exports": f"container={container.container_name}",
        }


class Reader:
    """Somebody at a terminal: variables stay from block to block."""

    def __init__(self, platform: Platform, place: Path, own: dict[str, str]) -> None:
        (place / ".isobath").symlink_to(platform.home)
        self._place = place
        self._own = {"http://127.0.0.1:8200": str(platform.ready["http"]), **own}
        self._variables = place / "variables"
        self._variables.touch()

    def run(self, language: str, text: str) -> str:
        for shown, real in self._own.items():
            text = text.replace(shown, real)
        if language == "sh":
            script = f"set -a; . {self._variables}; {text}\ndeclare -p KEY RUN KIM 2>/dev/null"
            command = ["bash", "-eo", "pipefail", "-c", f"{script} > {self._variables} || true"]
        else:
            command = [sys.executable, "-c", text]
        kept = {name: held for name, held in os.environ.items() if not name.startswith("ISOBATH_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ran = subprocess.run(
            command,
            cwd=self._place,
            env={**kept, "PATH": path, "no_proxy": "*"},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
        return ran.stdout


def test_quickstart(platform: Platform, tmp_path: Path, own: dict[str, str]) -> None:
    reader = Reader(platform, tmp_path, own)
    said = [reader.run(*each) for each in blocks() if each[1].strip() not in BEFORE]
    try:
        _holds(said, tmp_path)
    finally:
        with platform.http() as api:
            for source in ("crm", "exports"):
                api.delete(f"/v1/data-sources/{source}").raise_for_status()


def _holds(said: list[str], place: Path) -> None:
    """What a reader of each part should have seen, in order."""
    (
        asked,
        streamed,
        responses,
        client,
        added,
        crm,
        exports,
        background,
        kept,
        written,
        shared,
        well,
    ) = said
    assert "report.md" in asked and "Nordvik" in asked
    assert "<Answer>" in streamed and "data: [DONE]" in streamed
    assert "Halden Freight" in responses
    assert "refunds" in client.lower()
    assert "public.accounts" in added
    assert "42" in crm and "tier,n" in crm
    assert "invoices/2026-01.csv" in exports and "750.5" in exports
    assert "completed" in background
    assert "report.md" in kept and (place / "run.html").read_text().lstrip().startswith("<!")
    assert json.loads((place / "run.ipynb").read_text())["nbformat"] == 4
    assert re.search(r"results/run-\w+/report\.md", written)
    assert "crm" in shared and "exports" not in shared and "42" in shared
    assert "crm" in well


def test_every_block_is_run_or_known() -> None:
    alone = [text.strip() for _, text in blocks() if text.strip() in BEFORE]
    assert alone == BEFORE


def test_variables_of_the_quickstart_are_read() -> None:
    known = (ROOT / "docs" / "configuration.md").read_text()
    for name in set(re.findall(r"ISOBATH_([A-Z_]+)=", PAGE)) - {"API_KEY"}:
        short = name.removeprefix("INFERENCE_")
        assert f"| `{short}` |" in known, name
