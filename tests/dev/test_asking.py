"""The double below stands for the gateway's HTTP stream alone: fixed bytes for each path. The whole
way, with a real gateway, is in tests/e2e."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.asking import AskingFailed, ask, save
from dev.question import body, lacking
from dev.registration import api
from dev.samples import facts, generate
from isobath.analyst.v1 import analyst_pb2 as messages
from servicekit.secrets import Secret

CHAT = "POST /v1/chat/completions"


def sse(*chunks: dict[str, Any] | str) -> bytes:
    lines = [each if isinstance(each, str) else f"data: {json.dumps(each)}" for each in chunks]
    return "".join(f"{line}\n\n" for line in lines).encode()


def event(sequence: int, **what: Any) -> dict[str, Any]:
    return {"choices": [], "isobath": {"run_id": "run-1", "sequence": sequence, **what}}


@asynccontextmanager
async def gateway(pages: dict[str, tuple[int, bytes]]) -> AsyncIterator[httpx.AsyncClient]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, content = pages[" ".join(head.split()[:2])]
        lines = (
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(lines.encode() + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with api(f"http://127.0.0.1:{port}", Secret("isb-test")) as client:
            yield client


async def test_ask_shows_events_and_gives_answer_with_files() -> None:
    files = [{"name": "figures/returns.png", "url": "/v1/files/file-1/content"}]
    stream = sse(
        ": keep-alive",
        event(1, started={"thread_id": "thread-1"}),
        event(2, not_yet_known={"x": 1}),
        event(3, completed={"answer": "Nordvik."}),
        {"choices": [{"delta": {"files": files}}], "generated_files": files},
        "data: [DONE]",
    )
    seen: list[messages.Event] = []
    async with gateway({CHAT: (200, stream)}) as client:
        answered = await ask(client, body(), seen.append)
    assert answered.answer == "Nordvik." and answered.files == files
    assert [each.sequence for each in seen] == [1, 2, 3]
    assert seen[0].started.thread_id == "thread-1"


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (422, json.dumps({"error": {"message": "no such table", "remedy": "Look."}}).encode()),
        (200, sse(event(1), {"error": {"message": "no such table", "remedy": "Look."}})),
    ],
)
async def test_ask_refused_or_cut_off_tells_why(status: int, content: bytes) -> None:
    async with gateway({CHAT: (status, content)}) as client:
        with pytest.raises(AskingFailed, match=r"no such table Look\."):
            await ask(client, body(), lambda _: None)


async def test_ask_without_an_answer_fails() -> None:
    async with gateway({CHAT: (200, sse(event(1), "data: [DONE]"))}) as client:
        with pytest.raises(AskingFailed, match="without an answer"):
            await ask(client, body(), lambda _: None)


async def test_save_keeps_files_in_the_folder_whatever_they_are_called(tmp_path: Path) -> None:
    names = ("figures/a.png", "../../b.md")
    files = [{"name": name, "url": f"/{number}"} for number, name in enumerate(names)]
    async with gateway({"GET /0": (200, b"A"), "GET /1": (200, b"B")}) as client:
        saved = await save(client, files, tmp_path)
    assert saved == [tmp_path / "figures/a.png", tmp_path / "b.md"]
    assert [path.read_bytes() for path in saved] == [b"A", b"B"]


def test_answer_lacks_what_it_does_not_name() -> None:
    truth = facts(generate(orders=4000, customers=100, sessions=10))
    assert lacking("Nordvik, because of Halden Freight", truth) == []
    assert lacking("Nordvik, it seems", truth) == ["the carrier Halden Freight"]
