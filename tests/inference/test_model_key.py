"""The model server's key, from where the operator keeps it: through a real credential service."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servicekit.testing import open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.inference.model_key import ModelKey
from tests.inference.model_server import ModelServer
from tests.inference.test_openai_engine import generated, refused, service, settings, upstream

__all__ = ["settings", "upstream"]
KEY, CHANGED = "sk-planted-where-it-lies", "sk-planted-and-changed"


@asynccontextmanager
async def credentials(folder: Path, **changes: Any) -> AsyncIterator[Any]:
    kept = CredentialSettings(home=folder / "credentials", **changes)
    async with running((mount_credentials, kept)) as server:
        yield server


@pytest.mark.req("D2", "C4")
async def test_key_is_read_from_where_it_lies_and_kept_by_nobody(
    no_leaks: None, settings: Any, upstream: ModelServer, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.inference.model_key._KEPT_S", 0.0)
    place = tmp_path / "key"
    place.write_text(KEY + "\n")
    async with credentials(tmp_path, model_key=f"file:{place}") as server:
        asking = replace(settings, credentials=server.address)
        async with service(asking) as stub:
            await generated(stub)
            assert upstream.headers[-1]["Authorization"] == f"Bearer {KEY}"
            place.write_text(CHANGED)
            await generated(stub)
            assert upstream.headers[-1]["Authorization"] == f"Bearer {CHANGED}"
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "credentials").rglob("*") if path.is_file()
    )
    assert b"sk-planted" not in written and "sk-planted" not in caplog.text
    database = tmp_path / "credentials" / "store.db"
    with closing(sqlite3.connect(database)) as opened:
        trail = opened.execute("SELECT line FROM audit").fetchall()
    assert "read_model_key" in json.dumps(trail, default=str)


async def test_no_key_and_no_service_say_what_to_do(
    no_leaks: None, settings: Any, tmp_path: Path
) -> None:
    async with (
        credentials(tmp_path) as server,
        service(replace(settings, credentials=server.address)) as stub,
    ):
        fault = await refused(stub)
        assert fault.reason == "NOT_FOUND" and "MODEL_KEY" in fault.remedy
    async with service(replace(settings, credentials="127.0.0.1:1")) as stub:
        assert (await refused(stub)).reason == "SERVICE_UNAVAILABLE"


async def test_key_is_asked_for_once_a_minute(no_leaks: None, tmp_path: Path) -> None:
    place = tmp_path / "key"
    place.write_text(KEY)
    async with (
        credentials(tmp_path, model_key=f"file:{place}") as server,
        open_channel(server) as channel,
    ):
        key = ModelKey(channel)
        assert [await key(), await key()] == [KEY, KEY]
        place.write_text(CHANGED)
        assert await key() == KEY


@pytest.mark.parametrize("text", ["sk-123", "vault:x", "file:relative", "env:"])
def test_a_key_itself_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="MODEL_KEY expects"):
        CredentialSettings(model_key=text)
