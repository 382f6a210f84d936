"""The gateway before a lake: the real Azure Blob connector and Azurite, the rest doubles."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from azure.storage.blob import ContentSettings
from typer.testing import CliRunner

from dev.azurite import Azurite
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.analyst.v1 import analyst_pb2_grpc as rpc
from isobath_client.cli import app
from services.blob_connector.app import mount as mount_blob
from services.blob_connector.settings import Settings as BlobSettings
from services.gateway.writeback import distinct
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of
from tests.gateway.doubles import PNG, Held

TO = {"source": "lake", "prefix": "results/{run_id}"}


class Releasable(Held):
    """Lets go of its call once it is `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.released.wait()


class Written:
    """A platform with the source `lake`, which may be written under results/, and its container."""

    def __init__(self, platform: Platform, container: Any) -> None:
        self.platform, self.container = platform, container

    def program(self, *programs: str) -> None:
        self.platform.models.turns = [*(CODE.format(p) for p in programs), ANSWER.format("It is.")]

    async def ask(self, **artifacts_to: Any) -> dict[str, Any]:
        reply = await self.platform.chat(artifacts_to={**TO, **artifacts_to})
        return dict(reply.raise_for_status().json())

    async def blobs(self) -> dict[str, tuple[bytes, str]]:
        found = {}
        async for blob in self.container.list_blobs():
            loader = await self.container.download_blob(blob.name)
            kind = str(blob.content_settings.content_type)
            found[blob.name] = (await loader.readall(), kind)
        return found


@pytest_asyncio.fixture
async def lake(azurite: Azurite, tmp_path: Path) -> AsyncIterator[Written]:
    def beside(vault: str) -> tuple[Any, Any]:
        return mount_blob, BlobSettings(credentials=vault, retries=0)

    async with azurite.container() as container, platform_of(tmp_path, beside=beside) as platform:
        config = {
            "account_url": azurite.account_url,
            "container": container.container_name,
            "write_prefixes": ["results/"],
        }
        secrets = {"account_key": azurite.key}
        await platform.source("lake", type="azure_blob", config=config, secrets=secrets)
        yield Written(platform, container)


@pytest.mark.req("B4")
async def test_report_figures_and_files_are_written_and_told(lake: Written) -> None:
    lake.program(f"show({PNG!r})\nsave('out.csv', b'a,b')", "save('sub/out.csv', b'c')")
    reply = await lake.ask()
    under = f"results/{reply['run_id']}/"
    written = {each["path"].removeprefix(under): each for each in reply["written_files"]}
    assert list(written) == [
        *("figure-1-1.png", "out.csv", "out-2.csv", "report.md", "report.html")
    ]
    assert all(each["source"] == "lake" and each["etag"] for each in written.values())
    ids = [each["id"] for each in reply["generated_files"]]
    assert [each["file_id"] for each in written.values()] == ids
    blobs = await lake.blobs()
    assert blobs[under + "figure-1-1.png"] == (PNG, "image/png")
    assert blobs[under + "out.csv"] == (b"a,b", "text/csv")
    assert blobs[under + "out-2.csv"] == (b"c", "text/csv")
    report, kind = blobs[under + "report.md"]
    assert b"It is." in report and kind == "text/markdown"
    properties = await lake.container.get_blob_client(under + "report.md").get_blob_properties()
    assert properties.content_settings.content_md5


@pytest.mark.req("B4")
async def test_what_is_there_stays_unless_overwriting_is_asked_for(lake: Written) -> None:
    await lake.container.upload_blob("results/report.md", b"old")
    lake.program("save('out.csv', b'new')")
    reply = await lake.ask(prefix="results")
    out, report, page = reply["written_files"]
    assert page["path"] == "results/report.html" and "reason" not in page
    assert out["bytes"] == 3 and "reason" not in out
    assert report["reason"] == "ALREADY_EXISTS" and report["remedy"]
    assert "It is." in reply["choices"][0]["message"]["content"]
    assert (await lake.blobs())["results/report.md"][0] == b"old"
    lake.program("1")
    reply = await lake.ask(prefix="results/", overwrite=True)
    assert [each.get("reason") for each in reply["written_files"]] == [None, None]
    assert b"It is." in (await lake.blobs())["results/report.md"][0]


@pytest.mark.req("B4", "X4")
@pytest.mark.parametrize("overwrite", [False, True])
async def test_code_may_write_into_the_runs_folder_and_is_told_so(
    lake: Written, *, overwrite: bool
) -> None:
    lake.program("1")
    run_id = (await lake.ask(overwrite=overwrite))["run_id"]
    (given,) = lake.platform.sandbox.attached.values()
    source = next(each for each in given if each.name == "lake")
    claims = jwt.decode(source.write_grant, options={"verify_signature": False})
    assert source.write_prefix == f"results/{run_id}/"
    assert claims["scopes"] == [source.write_prefix]
    assert sorted(claims["operations"]) == (["overwrite", "write"] if overwrite else ["write"])
    asked = lake.platform.models.requests[0].messages[-1].content
    assert f'sources["lake"].upload("result.csv", "results/{run_id}/result.csv")' in asked
    lake.program("1")
    (await lake.platform.chat()).raise_for_status()
    *_, given = lake.platform.sandbox.attached.values()
    assert not any(each.write_grant for each in given)


@pytest.mark.req("B4")
@pytest.mark.parametrize("prefix", ["elsewhere", "results-2", "results/../elsewhere"])
async def test_nothing_is_written_outside_of_what_the_source_allows(
    lake: Written, prefix: str
) -> None:
    lake.program("save('out.csv', b'a')")
    reply = await lake.platform.chat(artifacts_to={**TO, "prefix": prefix})
    if ".." in prefix:
        assert reply.status_code == 400 and reply.json()["error"]["param"] == "artifacts_to.prefix"
    else:
        told = reply.raise_for_status().json()
        assert {each["reason"] for each in told["written_files"]} == {"SOURCE_FORBIDDEN"}
        assert "results/" in told["written_files"][0]["message"]
        assert "It is." in told["choices"][0]["message"]["content"]
    assert await lake.blobs() == {}


@pytest.mark.req("B4", "S7")
async def test_answer_survives_a_source_that_is_gone(lake: Written) -> None:
    lake.program("wait_for_ever()")
    lake.platform.sandbox.held = held = Releasable()
    asked = asyncio.create_task(lake.platform.chat(artifacts_to=TO))
    await held.reached.wait()
    (await lake.platform.http.delete("/v1/data-sources/lake")).raise_for_status()
    held.released.set()
    told = (await asked).raise_for_status().json()
    assert {each["reason"] for each in told["written_files"]} == {"SOURCE_NOT_FOUND"}
    assert "It is." in told["choices"][0]["message"]["content"]
    assert [each["name"] for each in told["generated_files"]] == [*("report.md", "report.html")]


@pytest.mark.req("B4")
@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"source": ""}, 400, "artifacts_to.source"),
        ({"source": "nowhere"}, 404, None),
        ({"source": "shop"}, 400, "artifacts_to.source"),
        ({"prefix": ""}, 400, "artifacts_to.prefix"),
        ({"prefix": "/results"}, 400, "artifacts_to.prefix"),
        ({"prefix": "results/*"}, 400, "artifacts_to.prefix"),
        ({"prefix": 1}, 400, "artifacts_to.prefix"),
        ({"overwrite": "yes"}, 400, "artifacts_to.overwrite"),
    ],
)
async def test_wrong_target_is_told_before_the_run(
    lake: Written, changes: dict[str, Any], status: int, field: str | None
) -> None:
    await lake.platform.source("shop")
    reply = await lake.platform.chat(artifacts_to={**TO, **changes})
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, field)
    assert lake.platform.models.requests == []


@pytest.mark.req("B4", "C4")
async def test_written_files_are_told_over_grpc_and_in_streams(lake: Written) -> None:
    lake.program("1")
    request = analyst.ChatRequest(
        messages=[analyst.ChatMessage(role="user", content="How many?")],
        artifacts_to=analyst.ArtifactsTo(source="lake", prefix="results/g"),
    )
    metadata = (("authorization", lake.platform.http.headers["authorization"]),)
    stub = rpc.AnalystServiceStub(lake.platform.grpc)
    events = [each.event async for each in stub.Chat(request, metadata=metadata)]
    written, _ = events[-1].completed.written
    assert (written.source, written.path, written.reason) == ("lake", "results/g/report.md", "")
    lake.program("1")
    chunks = await lake.platform.stream(artifacts_to={**TO, "prefix": "results/g"})
    assert [each["reason"] for each in chunks[-1]["written_files"]] == ["ALREADY_EXISTS"] * 2
    notices = [each["isobath"]["notice"] for each in chunks if "notice" in each["isobath"]]
    assert "2 of 2 files were not written to lake: results/g/report.md" in notices[0]["text"]


def test_names_that_come_twice_are_numbered() -> None:
    assert distinct(["a.csv", "a.csv", "a-2.csv", "a.csv", "b"]) == [
        "a.csv",
        "a-3.csv",
        "a-2.csv",
        "a-4.csv",
        "b",
    ]


@pytest.mark.req("B2", "C3")
async def test_earlier_states_are_listed_and_read(lake: Written) -> None:
    client = lake.container.get_blob_client("public.orders")
    kind = ContentSettings(content_type="text/csv")
    await client.upload_blob(b"n\n1\n", content_settings=kind)
    old = f"snapshot={(await client.create_snapshot())['snapshot']}"
    await client.upload_blob(b"n\n2\n", overwrite=True, content_settings=kind)
    http, base = lake.platform.http, "/v1/data-sources/lake"
    listed = await http.get(f"{base}/browse", params={"glob": "**", "include": "snapshots"})
    told = [(each["path"], each["version"]) for each in listed.raise_for_status().json()["data"]]
    assert told == [("public.orders", old), ("public.orders", "")]
    chosen = {"path": "public.orders", "version": old}
    assert (await http.get(f"{base}/content", params=chosen)).content == b"n\n1\n"
    assert (await http.get(f"{base}/preview", params=chosen)).json()["rows"] == [[1]]
    assert (await http.get(f"{base}/schema", params=chosen)).json()["entry"]["version"] == old
    rows = (await http.post(f"{base}/query", json=chosen)).json()
    assert rows["rows"] == [[1]]
    for params in ({"include": "all", "glob": "**"}, {"include": "versions"}):
        refused = await http.get(f"{base}/browse", params=params)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "include")
    lake.program("1")
    await lake.platform.chat(data_sources=[{"source": "lake", **chosen}])
    (item,) = lake.platform.sandbox.import_items
    assert (item.selection.path, item.selection.version) == ("public.orders", old)
    assert f"public.orders ({old})" in lake.platform.models.requests[0].messages[-1].content


@pytest.mark.req("B3", "C3")
async def test_content_is_given_unpacked_where_that_is_asked_for(lake: Written) -> None:
    data = gzip.compress(b"one line")
    await lake.container.upload_blob("a.log.gz", data)
    http, url = lake.platform.http, "/v1/data-sources/lake/content"
    assert (await http.get(url, params={"path": "a.log.gz"})).content == data
    given = await http.get(url, params={"path": "a.log.gz", "format": "unpacked"})
    assert given.content == b"one line"
    refused = await http.get(url, params={"path": "a.log.gz", "format": "csv"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "format")


@pytest.mark.req("B2", "B3", "C3")
async def test_command_shows_earlier_states_and_unpacks(lake: Written) -> None:
    client = lake.container.get_blob_client("a.csv.gz")
    await client.upload_blob(gzip.compress(b"n\n1\n"))
    old = f"snapshot={(await client.create_snapshot())['snapshot']}"
    await client.upload_blob(gzip.compress(b"n\n2\n"), overwrite=True)
    key = lake.platform.http.headers["authorization"].removeprefix("Bearer ")
    environ = {"ISOBATH_ADDRESS": lake.platform.grpc_address, "ISOBATH_API_KEY": key}

    async def told(*command: str) -> bytes:
        wide = {**environ, "COLUMNS": "200"}
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["sources", *command], env=wide)
        assert ran.exit_code == 0, ran.output
        return ran.stdout_bytes

    listed = await told("browse", "lake", "--glob", "**", "--include", "snapshots")
    assert old.encode() in listed
    of_now = ("query", "lake:a.csv.gz", "--format", "unpacked")
    assert await told(*of_now) == b"n\n2\n"
    assert await told(*of_now, "--version", old) == b"n\n1\n"


@pytest.mark.req("B4", "C4")
@pytest.mark.parametrize("approved", [True, False])
async def test_files_are_written_only_when_that_is_approved(lake: Written, approved: bool) -> None:
    platform = lake.platform
    guarded = {"approval": ["write"]}
    (await platform.http.patch("/v1/data-sources/lake", json=guarded)).raise_for_status()
    lake.program("save('out.csv', b'a,b')")
    asking = asyncio.create_task(lake.ask())
    pending: list[dict[str, Any]] = []
    while not pending:
        await asyncio.sleep(0.05)
        for run in (await platform.http.get("/v1/runs")).json()["data"]:
            address = f"/v1/runs/{run['id']}/approvals"
            pending = (await platform.http.get(address)).json()["data"]
    assert (pending[0]["operation"], pending[0]["round"]) == ("write", None)
    assert pending[0]["path"] == f"results/{run['id']}/" and not pending[0]["overwrite"]
    assert await lake.blobs() == {}
    body = {"approved": approved, "comment": "" if approved else "not there"}
    (await platform.http.post(address, json=body)).raise_for_status()
    told = await asking
    assert "It is." in told["choices"][0]["message"]["content"]
    if approved:
        assert len(await lake.blobs()) == 3
        return
    assert await lake.blobs() == {}
    assert {each["reason"] for each in told["written_files"]} == {"NOT_APPROVED"}
    assert "was not approved: not there" in told["written_files"][0]["message"]
