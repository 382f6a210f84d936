"""One streamed chat over the gateway's OpenAI surface: events as they come, files at the end."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from google.protobuf import json_format

from isobath.analyst.v1 import analyst_pb2 as messages

# Between two events, heartbeats included: the gateway sends those far more often.
SILENCE_S = 60.0
DATA = "data: "
DONE = "[DONE]"


class AskingFailed(RuntimeError):
    """The request was refused, or the run ended badly; the message says why and what to do."""


@dataclass
class Answered:
    """What came of it: the answer's Markdown, and the files as [{name, url}]."""

    answer: str = ""
    files: list[dict[str, str]] = field(default_factory=list)


async def ask(
    client: httpx.AsyncClient, body: dict[str, Any], show: Callable[[messages.Event], None]
) -> Answered:
    """Stream one chat to its end, showing each event. Raises AskingFailed.

    Leaving early closes the connection, which cancels the run."""
    answered = Answered()
    async for chunk in _chunks(client, body):
        answered.files = chunk.get("generated_files") or answered.files
        if event := chunk.get("isobath"):
            parsed = json_format.ParseDict(event, messages.Event(), ignore_unknown_fields=True)
            show(parsed)
            answered.answer = parsed.completed.answer or answered.answer
    if not answered.answer:
        raise AskingFailed("the stream ended without an answer")
    return answered


async def _chunks(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    timeout = httpx.Timeout(client.timeout.connect, read=SILENCE_S)
    async with client.stream(
        "POST", "/v1/chat/completions", json=body, timeout=timeout
    ) as response:
        if response.is_error:
            await response.aread()
            raise AskingFailed(_told(response.json()))
        async for line in response.aiter_lines():
            if line.startswith(DATA) and line != DATA + DONE:
                chunk = json.loads(line.removeprefix(DATA))
                if "error" in chunk:
                    raise AskingFailed(_told(chunk))
                yield chunk


def _told(envelope: dict[str, Any]) -> str:
    error = envelope["error"]
    return " ".join(filter(None, (error.get("message"), error.get("remedy"))))


async def save(client: httpx.AsyncClient, files: list[dict[str, str]], folder: Path) -> list[Path]:
    """Download files into `folder`, under their own names, which may have folders."""
    saved = []
    for file in files:
        response = (await client.get(file["url"])).raise_for_status()
        path = inside(folder, file["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(response.content)
        saved.append(path)
    return saved


def inside(folder: Path, name: str) -> Path:
    """Where a file of any name goes: never outside the folder."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    return folder.joinpath(*parts)
