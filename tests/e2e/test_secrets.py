"""No secret of a source is found anywhere but in the encrypted store."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from dev.azurite import Azurite
from dev.postgres import Postgres
from tests.e2e.conftest import ROOT, Platform
from tests.e2e.question import MESSAGES, MODEL

pytestmark = pytest.mark.slow
PLANTED = "PlantedSecret-7f3a9c-in-no-log"
WRONG = "PlantedWrong-51bd20-in-no-log"


async def plant(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute(f"CREATE ROLE planted LOGIN PASSWORD '{PLANTED}'")
    finally:
        await connection.close()


def bodies(postgres: Postgres, azurite: Azurite) -> Iterator[dict[str, object]]:
    config = {"host": postgres.host, "port": postgres.port, "database": "postgres"}
    config |= {"user": "planted", "sslmode": "disable"}
    for name, password in (("planted", PLANTED), ("planted-wrong", WRONG)):
        secrets = {"password": password}
        yield {"name": name, "type": "postgresql", "config": config, "secrets": secrets}
    blob = {"account_url": azurite.account_url, "container": "nowhere"}
    for name, key in (("planted-key", azurite.key), ("planted-sas", f"sv=2024&sig={WRONG}")):
        field = "account_key" if name.endswith("key") else "sas_token"
        yield {"name": name, "type": "azure_blob", "config": blob, "secrets": {field: key}}
    text = f"AccountName=a;AccountKey={WRONG};BlobEndpoint={azurite.account_url}"
    secrets = {"connection_string": text}
    yield {"name": "planted-text", "type": "azure_blob", "config": blob, "secrets": secrets}


def exercise(api: httpx.Client, name: str) -> list[str]:
    """Drive success and failure paths of one source; everything that came back."""
    said = [api.post(f"/v1/data-sources/{name}/test").text]
    for what in ("browse", "schema?path=public.x", "preview?path=public.x", "statistics?path=x.y"):
        said.append(api.get(f"/v1/data-sources/{name}/{what}").text)
    said.append(api.post(f"/v1/data-sources/{name}/query", json={"sql": "SELECT 1 AS one"}).text)
    chosen = {"source": name, "query": "SELECT generate_series(1, 5) AS n"}
    chat = {"model": MODEL, "messages": MESSAGES, "data_sources": [chosen]}
    said.append(api.post("/v1/chat/completions", json=chat).text)
    elsewhere = {"config": {"host": "203.0.113.1"}, "secrets": {"password": WRONG, "x": PLANTED}}
    said.append(api.patch(f"/v1/data-sources/{name}", json=elsewhere).text)
    said.append(api.patch(f"/v1/data-sources/{name}", json={"secrets": {"nope": WRONG}}).text)
    return said


def traces(platform: Platform) -> Iterator[tuple[str, bytes]]:
    """Every file under the home, the console, and each process's arguments and environment."""
    for path in [*platform.home.rglob("*"), platform.console]:
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
    for process in platform.descendants():
        for name in ("cmdline", "environ"):
            try:
                yield f"{process.pid} {name}", Path(f"/proc/{process.pid}/{name}").read_bytes()
            except (psutil.NoSuchProcess, FileNotFoundError, PermissionError, ProcessLookupError):
                continue  # it ended meanwhile, or even root may not look into it


@pytest.mark.req("D2", "S1")
def test_no_service_leaves_a_core_file(platform: Platform) -> None:
    pids = platform.ready["pids"]
    for service, pid in (
        (each, pids[each]) for each in pids if (ROOT / "services" / each).is_dir()
    ):
        limits = Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], service


@pytest.mark.req("D2", "S1", "S4", "X2", "B5")
async def test_planted_secrets_are_found_nowhere(
    platform: Platform, postgres: Postgres, azurite: Azurite
) -> None:
    await plant(postgres)
    said: list[str] = []
    with platform.http() as api:
        for body in bodies(postgres, azurite):
            made = api.post("/v1/data-sources", json=body)
            assert made.status_code == 201, made.text
            said.append(made.text)
            said += exercise(api, str(body["name"]))
        runs = api.get("/v1/runs").json()["data"]
        said += [api.get(f"/v1/runs/{run['id']}").text for run in runs]
        said.append(api.get("/metrics").text)
        said.append(json.dumps(api.get("/v1/data-sources").json()))
    time.sleep(0.5)  # buffered log lines reach their files
    looked = 0
    for marker in (PLANTED, WRONG, azurite.key):
        assert not [text for text in said if marker in text]
        for place, content in traces(platform):
            looked += 1
            assert marker.encode() not in content, place
    assert looked > 30


# where each type looks for its source: nobody listens there
CONFIGS: dict[str, dict[str, object]] = {
    "postgresql": {"host": "127.0.0.1", "port": 1, "database": "x", "user": "x"},
    "azure_blob": {"account_url": "http://127.0.0.1:1/x", "container": "x"},
    # it has no secret
    "local_file": {"root": "files"},
}
# who signs in by these asks Microsoft Entra, which is elsewhere: they are kept, and not used
ENTRA = {
    ("azure_blob", name): {"tenant_id": "x", "client_id": "x"}
    for name in ("client_secret", "client_certificate")
}


@pytest.mark.req("D2", "S1")
def test_no_field_of_any_type_is_found_anywhere(platform: Platform) -> None:
    said, markers = list[str](), list[str]()
    with platform.http() as api:
        types = api.get("/v1/data-source-templates").json()["data"]
        assert {each["type"] for each in types} == set(CONFIGS)
        for kind, schema in ((each["type"], each["secrets_schema"]) for each in types):
            for field in schema["properties"]:
                needed = [field, *schema.get("dependentRequired", {}).get(field, [])]
                secrets = {each: f"Planted-{kind}-{field}-{each}-4c1e" for each in needed}
                markers += secrets.values()
                elsewhere = ENTRA.get((kind, field), {})
                name = f"planted-{kind}-{field}".replace("_", "-")
                body = {"name": name, "type": kind, "config": CONFIGS[kind] | elsewhere}
                made = api.post("/v1/data-sources", json=body | {"secrets": secrets})
                assert made.status_code == 201, made.text
                said.append(made.text)
                said.append(api.post("/v1/data-sources", json=body | {"secrets": secrets}).text)
                if not elsewhere:
                    said.append(api.post(f"/v1/data-sources/{name}/test").text)
                    asked = {"sql": "SELECT 1 AS one"}
                    said.append(api.post(f"/v1/data-sources/{name}/query", json=asked).text)
                said.append(api.patch(f"/v1/data-sources/{name}", json={"secrets": secrets}).text)
                said.append(api.delete(f"/v1/data-sources/{name}").text)
        said.append(api.get("/metrics").text)
    time.sleep(0.5)  # buffered log lines reach their files
    assert len(markers) > 8
    for marker in markers:
        assert not [text for text in said if marker in text]
    for place, content in traces(platform):
        assert not [marker for marker in markers if marker.encode() in content], place
