"""A client that was written for upstream's server, by bare requests."""

import json
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Server
from tests.clients.question import MODEL, require_answer

pytestmark = [pytest.mark.clients, pytest.mark.req("C3")]
TABLE = b"order_id,status\n" + b"".join(
    b"%d,%s\n" % (n, b"completed" if n % 5 else b"returned") for n in range(500)
)


def uploaded(http: httpx.Client, **form: str) -> dict[str, Any]:
    sent = http.post("/files", files={"file": ("orders.csv", TABLE, "text/csv")}, data=form)
    made: dict[str, Any] = sent.raise_for_status().json()
    return made


@pytest.mark.req("C5", "C6")
def test_uploads_files_without_a_purpose_asks_of_them_and_goes_on(gateway: Server) -> None:
    with gateway.http() as http:
        file = uploaded(http)
        assert (file["filename"], file["bytes"], file["object"]) == (
            "orders.csv",
            len(TABLE),
            "file",
        )
        message = {"role": "user", "content": "How many orders are there by status?"}
        body = {"model": MODEL, "messages": [{**message, "file_ids": [file["id"]]}]}
        whole = http.post("/chat/completions", json=body).raise_for_status().json()
        said = whole["choices"][0]["message"]
        require_answer(said["content"])
        assert said["files"] == whole["generated_files"]
        for each in whole["generated_files"]:
            assert {"name", "url"} <= {*each}
            assert http.get(each["url"]).raise_for_status().content
        body = {"model": MODEL, "messages": [{**message, "thread_id": said["thread_id"]}]}
        again = http.post("/chat/completions", json=body).raise_for_status().json()
        assert again["choices"][0]["message"]["thread_id"] == said["thread_id"]
        require_answer(again["choices"][0]["message"]["content"])
        assert http.get("/files").json()["data"]
        assert http.delete(f"/files/{file['id']}").json()["deleted"] is True


def test_streams_with_files_in_the_last_chunk(gateway: Server) -> None:
    with gateway.http() as http:
        file = uploaded(http, purpose="file-extract")
        assert file["purpose"] == "file-extract"
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "How many orders are there by status?"}],
            "file_ids": [file["id"]],
            "temperature": 0.4,
            "stream": True,
        }
        with http.stream("POST", "/chat/completions", json=body) as response:
            lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in lines[:-1] if line.startswith("data: ")]
    require_answer("".join(c["choices"][0]["delta"].get("content", "") for c in chunks))
    last = chunks[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["thread_id"]
    assert last["choices"][0]["delta"]["files"] == last["generated_files"] != []


def test_health_and_models(gateway: Server) -> None:
    with gateway.http() as http:
        assert http.get(f"/models/{MODEL}").raise_for_status().json()["id"] == MODEL
    health = httpx.get(gateway.base.removesuffix("/v1") + "/health", trust_env=False)
    assert health.json()["status"] == "ok"
