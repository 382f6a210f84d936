"""A type of source that the gateway has never heard of: it is given an address, and nothing else.

Real parts throughout: credential service, file connector, sandbox, the embedded analyst. No other
connector runs.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import pytest_asyncio

from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.testing import no_leaks, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.file_connector.app import mount as mount_files
from services.file_connector.settings import Settings as FileSettings
from services.gateway.app import mount as mount_gateway
from services.gateway.settings import Settings as GatewaySettings
from services.inference.app import mount as mount_inference
from services.inference.settings import Settings as InferenceSettings
from services.sandbox.app import mount as mount_sandbox
from services.sandbox.settings import Settings as SandboxSettings
from tests.gateway.conftest import KEY
from tests.sandbox.boxes import TIERS

__all__ = ["no_leaks"]

BASE = "/v1/data-sources"
SALES = """region,amount
North,10
North,30
South,20
West,5
"""
pytestmark = [
    pytest.mark.req("D11"),
    pytest.mark.skipif(not TIERS, reason="this machine holds no tier of the sandbox"),
]


@dataclass
class Alone:
    """A gateway whose only connector is that of folders, and the folder that it may read."""

    http: httpx.AsyncClient
    root: Path

    async def source(self, **config: Any) -> httpx.Response:
        body = {"name": "files", "type": "local_file", "config": {"root": "data", **config}}
        return await self.http.post(BASE, json=body)

    async def get(self, what: str, **params: Any) -> Any:
        reply = await self.http.get(f"{BASE}/files/{what}", params=params)
        assert reply.is_success, reply.text
        return reply.json()


@pytest_asyncio.fixture
async def alone(tmp_path: Path, no_leaks: object) -> AsyncIterator[Alone]:
    root = tmp_path / "data"
    (root / "sales").mkdir(parents=True)
    (root / "sales" / "2026-01.csv").write_text(SALES)
    async with AsyncExitStack() as stack:

        async def start(mount: Any, settings: Any) -> str:
            return str((await stack.enter_async_context(running((mount, settings)))).address)

        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isobath-d11-")))
        home.chmod(0o711)
        vault = await start(mount_credentials, CredentialSettings(home=tmp_path / "credentials"))
        roots: dict[str, Any] = {"roots": (f"data={root}",), "writable_roots": ("data",)}
        files = await start(mount_files, FileSettings(credentials=vault, **roots))
        wanted: dict[str, Any] = {
            "tier": TIERS[0],
            "home": home / "sandbox",
            "connectors": (files,),
        }
        sandbox = await start(mount_sandbox, SandboxSettings(**wanted))
        settings = GatewaySettings(
            home=tmp_path / "gateway",
            http_bind=f"127.0.0.1:{free_port()}",
            api_key=Secret(KEY),
            credentials=vault,
            connectors=(files,),
            sandbox=(sandbox,),
            inference=(await start(mount_inference, InferenceSettings()),),
        )
        await start(mount_gateway, settings)
        http = httpx.AsyncClient(
            base_url=f"http://{settings.http_bind}",
            headers={"authorization": f"Bearer {KEY}"},
            timeout=60,
            trust_env=False,
        )
        yield Alone(await stack.enter_async_context(http), root)


@pytest.mark.req("D6", "D5")
async def test_type_is_known_by_what_the_connector_says(alone: Alone) -> None:
    reply = await alone.http.get("/v1/data-source-templates")
    (told,) = reply.raise_for_status().json()["data"]
    assert told["type"] == "local_file" and told["title"] == "Local folder"
    for config, field in (
        ({"root": "etc"}, "config.root"),
        ({"folder": "/etc"}, "config.folder"),
        ({"colour": 1}, "config"),
    ):
        refused = await alone.source(**config)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    reply = await alone.http.post(BASE, json={"name": "x", "type": "postgresql", "config": {}})
    assert reply.status_code == 400 and "local_file" in reply.text


@pytest.mark.req("D1", "D2", "D4", "D10")
async def test_source_is_made_tried_browsed_and_read(alone: Alone) -> None:
    made = await alone.source()
    assert made.status_code == 201, made.text
    assert made.json()["secrets_set"] == [] and made.json()["type"] == "local_file"
    tried = (await alone.http.post(f"{BASE}/files/test")).raise_for_status().json()
    assert tried["ok"] is True, tried
    path = "sales/2026-01.csv"
    assert [e["path"] for e in (await alone.get("browse"))["data"]] == ["sales/"]
    assert [e["path"] for e in (await alone.get("browse", glob="**"))["data"]] == [path]
    schema = await alone.get("schema", path="sales/*.csv")
    assert [column["name"] for column in schema["columns"]] == ["region", "amount"]
    preview = await alone.get("preview", path=path, limit=2)
    assert preview["rows"] == [["North", 10], ["North", 30]] and preview["truncated"]
    told = {c["name"]: c for c in (await alone.get("statistics", path=path))["columns"]}
    assert told["amount"]["mean"] == pytest.approx(16.25) and told["region"]["distinct"] == 3
    content = await alone.http.get(f"{BASE}/files/content", params={"path": path})
    assert content.text == SALES
    part = {"range": "bytes=0-5"}
    content = await alone.http.get(f"{BASE}/files/content", params={"path": path}, headers=part)
    assert (content.status_code, content.text) == (206, "region")


@pytest.mark.req("P9", "P10", "S6")
async def test_source_is_queried_by_path_and_by_sql(alone: Alone) -> None:
    await alone.source()

    async def query(**body: Any) -> httpx.Response:
        return await alone.http.post(f"{BASE}/files/query", json=body)

    rows = (await query(path="sales/*.csv", limit=2)).raise_for_status().json()
    assert rows["rows"] == [["North", 10], ["North", 30]] and rows["truncated"]
    sql = (
        "SELECT region, sum(amount)::INTEGER AS n FROM 'sales/*.csv' WHERE amount > $1 "
        "GROUP BY 1 ORDER BY 1"
    )
    rows = (await query(sql=sql, params=[5])).raise_for_status().json()
    assert rows["rows"] == [["North", 40], ["South", 20]]
    arrow = {"accept": "application/vnd.apache.arrow.stream"}
    reply = await alone.http.post(
        f"{BASE}/files/query", json={"sql": sql, "params": [5]}, headers=arrow
    )
    with pa.ipc.open_stream(reply.content) as reader:
        assert reader.read_all()["n"].to_pylist() == [40, 20]
    refused = await query(path="../gateway/isobath.db")
    assert refused.json()["error"]["reason"] == "PATH_NOT_FOUND"
    refused = await query(sql="COPY (SELECT 1) TO 'x.csv'")
    assert refused.json()["error"]["reason"] == "QUERY_NOT_READ_ONLY"


@pytest.mark.req("C1", "C4", "X1", "B4")
async def test_chat_over_it_ends_in_an_answer_and_writes_it_back(alone: Alone) -> None:
    await alone.source(writable_folders=["results/"])
    asked = {
        "messages": [{"role": "user", "content": "Which region has the highest total amount?"}],
        "data_sources": [{"source": "files", "path": "sales/*.csv"}],
        "artifacts_to": {"source": "files", "prefix": "results/r1/"},
    }
    reply = (await alone.http.post("/v1/chat/completions", json=asked)).raise_for_status().json()
    answer = reply["choices"][0]["message"]["content"].split("<Answer>")[1]
    assert "North" in answer and "40" in answer
    written = {each["path"]: each.get("reason", "") for each in reply["written_files"]}
    assert "results/r1/report.md" in written and not any(written.values())
    assert "North" in (alone.root / "results/r1/report.md").read_text()


@pytest.mark.req("D3")
async def test_deleted_source_is_gone(alone: Alone) -> None:
    await alone.source()
    (await alone.http.delete(f"{BASE}/files")).raise_for_status()
    assert (await alone.http.get(f"{BASE}/files/browse")).status_code == 404
    assert (alone.root / "sales/2026-01.csv").read_text() == SALES


def test_gateway_names_no_type_of_source() -> None:
    """What it knows of types it learns: none of their names stands in what it decides by."""
    import services.gateway

    folder = Path(services.gateway.__path__[0])
    named = [path for path in folder.rglob("*.py") if "local_file" in path.read_text()]
    assert named == []
