"""What users do, over and over, each in their own way; each raises what went wrong.

Those who follow a run by themselves go from one gateway to another in the middle of it, and expect
its events without a gap and without a repetition.
"""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from dev.scale_out.outcomes import Outcomes, Traced, Wrong
from isobath_client.aio.client import AsyncIsobath
from servicekit.secrets import Secret

QUESTIONS = (
    ("Which region has the most orders?", ({"source": "sales", "table": "public.orders"},)),
    ("Which carrier is late most often?", ({"source": "lake", "path": "shipments/*.parquet"},)),
    (
        "How many orders are there for each customer segment?",
        (
            {"source": "sales", "table": "public.orders"},
            {"source": "sales", "table": "public.customers"},
        ),
    ),
)
SQL = "SELECT count(*) AS n FROM public.customers"
ENDS = frozenset({"completed", "failed", "cancelled"})
# of anything that a user waits for
PATIENCE_S = 120.0
# between two tries of a gateway that is away
_PAUSE_S = 0.1


@dataclass
class Users:
    """`urls`: the gateways' own; `front`: the balancer's."""

    front: str
    front_grpc: str
    urls: list[str]
    key: Secret
    outcomes: Outcomes
    drawn: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kinds(self) -> Mapping[str, Callable[["Session", Traced], Awaitable[None]]]:
        """By what they do."""
        return {
            "chat, streamed": streamed,
            "chat, whole": whole,
            "chat, SDK over gRPC": by_sdk,
            "run, hopping": hopping,
            "run, cancelled elsewhere": cancelled,
            "run, approved elsewhere": approved,
            "two turns of a thread": two_turns,
            "query, preview, file": looked_at,
            "source made and deleted": source_life,
        }

    def stop(self) -> None:
        """Everybody finishes what they are at."""
        self._stopped.set()

    async def work(self, each: int) -> None:
        """So many users of each kind, until they are stopped."""
        async with asyncio.TaskGroup() as group:
            for kind in self.kinds:
                for _ in range(each):
                    group.create_task(self._user(kind), name=kind)

    async def _user(self, kind: str) -> None:
        act = self.kinds[kind]
        headers = {"authorization": f"Bearer {self.key.reveal()}"}
        async with httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(PATIENCE_S, connect=5.0), trust_env=False
        ) as client:
            session = Session(self, client)
            client.event_hooks = {"request": [session.numbered]}
            while not self._stopped.is_set():
                with self.outcomes.one(kind) as traced:
                    session.traced = traced
                    async with asyncio.timeout(PATIENCE_S):
                        await _again_if_unanswered(act, session, traced)


@dataclass
class Session:
    """One user's."""

    users: Users
    client: httpx.AsyncClient
    traced: Traced = field(default_factory=Traced)

    async def numbered(self, request: httpx.Request) -> None:
        """Under an id that the services' logs have too."""
        request.headers["x-request-id"] = id = secrets.token_hex(8)
        self.traced.requests.append(id)

    def asked(self, **more: Any) -> dict[str, Any]:
        """A request for one of the questions."""
        question, data = self.users.drawn.choice(QUESTIONS)
        said = [{"role": "user", "content": question}]
        return {"messages": said, "data_sources": list(data), **more}

    async def front(self, method: str, path: str, **given: Any) -> Any:
        """One request by way of the balancer."""
        return _good(await self.client.request(method, self.users.front + path, **given))

    async def elsewhere(self, method: str, path: str, **given: Any) -> Any:
        """One request to any gateway that can be reached: what is sent has to be safe to repeat."""
        while True:
            for url in self.users.drawn.sample(self.users.urls, len(self.users.urls)):
                try:
                    return _good(await self.client.request(method, url + path, **given))
                except httpx.TransportError:
                    await asyncio.sleep(_PAUSE_S)

    async def some_events(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """Events of a run above `after` from any gateway, until the connection ends."""
        url = self.users.drawn.choice(self.users.urls)
        headers = {"last-event-id": str(after)}
        try:
            async with self.client.stream(
                "GET", f"{url}/v1/runs/{run}/events", headers=headers
            ) as response:
                if response.status_code == 503:
                    return
                _require_good(
                    response.status_code, b"" if response.is_success else await _read(response)
                )
                async for line in response.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield json.loads(line.removeprefix("data: "))
        except httpx.TransportError:
            await asyncio.sleep(_PAUSE_S)

    async def events(self, run: str, traced: Traced) -> AsyncIterator[dict[str, Any]]:
        """All events of a run, some from each gateway. Raises Wrong for a gap or a repetition."""
        after = 0
        while True:
            some = self.users.drawn.randint(2, 9)
            async for event in self.some_events(run, after):
                # 64 bits are a text in JSON
                if (sequence := int(event["sequence"])) != after + 1:
                    raise Wrong(f"{run}: event {sequence} came after {after}")
                after = sequence
                yield event
                if ENDS & event.keys():
                    return
                some -= 1
                if not some:
                    break
            traced.hops += 1


async def _again_if_unanswered(
    act: Callable[["Session", Traced], Awaitable[None]], session: "Session", traced: Traced
) -> None:
    """Once more where a connection that was kept was closed as the request came, as every client
    has to expect of HTTP/1.1 (RFC 9112, 9.3.1), and the OpenAI SDK does."""
    try:
        await act(session, traced)
    except httpx.RemoteProtocolError as closed:
        if "without sending a response" not in str(closed):
            raise
        await act(session, traced)


async def _read(response: httpx.Response) -> bytes:
    return await response.aread()


def _good(response: httpx.Response) -> Any:
    _require_good(response.status_code, response.content)
    return response.json() if "json" in response.headers.get("content-type", "") else response


def _require_good(status: int, content: bytes) -> None:
    if status >= 400:
        raise Wrong(f"{status}: {content.decode(errors='replace')[:300]}")


def _require_answer(answer: str) -> None:
    if len(answer) < 40:
        raise Wrong(f"the answer is {answer!r}")


async def streamed(session: Session, _: Traced) -> None:
    """As the OpenAI SDK does: it cannot take up a stream that broke off."""
    body, answer, done = session.asked(stream=True), "", False
    async with session.client.stream(
        "POST", f"{session.users.front}/v1/chat/completions", json=body
    ) as response:
        _require_good(response.status_code, b"" if response.is_success else await _read(response))
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                chunk = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    raise Wrong(f"in the stream: {chunk['error']}")
                for choice in chunk["choices"]:
                    answer += choice["delta"].get("content") or ""
    if not done:
        raise Wrong("the stream broke off")
    _require_answer(answer)


async def whole(session: Session, _: Traced) -> None:
    """The answer in one piece."""
    told = await session.front("POST", "/v1/chat/completions", json=session.asked())
    _require_answer(told["choices"][0]["message"]["content"])


async def by_sdk(session: Session, _: Traced) -> None:
    """Our own client, which takes up again what broke off."""
    question, data = session.users.drawn.choice(QUESTIONS)
    said = [f"{each['source']}:{each.get('table') or each['path']}" for each in data]
    users = session.users
    async with AsyncIsobath(users.front_grpc, api_key=users.key.reveal()) as client:
        _require_answer((await client.ask(question, data=said)).answer)


async def hopping(session: Session, traced: Traced) -> None:
    """A run in the background, followed from gateway to gateway; then its files."""
    run = await session.front("POST", "/v1/runs", json=session.asked())
    last: dict[str, Any] = {}
    async for event in session.events(run["id"], traced):
        last = event
    if "completed" not in last:
        raise Wrong(f"{run['id']} ended with {last}")
    _require_answer(last["completed"]["answer"])
    stood = await session.elsewhere("GET", f"/v1/runs/{run['id']}")
    if (stood["status"], int(stood["last_sequence"])) != ("completed", int(last["sequence"])):
        raise Wrong(f"{run['id']} stands at {stood['status']} {stood['last_sequence']}")
    for file in last["completed"]["files"][:2]:
        content = await session.elsewhere("GET", f"/v1/files/{file['id']}/content")
        if len(content.content) != int(file["size_bytes"]):
            raise Wrong(f"{file['name']} has {len(content.content)} bytes of {file['size_bytes']}")


async def cancelled(session: Session, _: Traced) -> None:
    """Cancelled at a gateway that need not be the one where it runs."""
    run = await session.front("POST", "/v1/runs", json=session.asked())
    await asyncio.sleep(session.users.drawn.uniform(0.0, 0.5))
    stood = await session.elsewhere("POST", f"/v1/runs/{run['id']}/cancel")
    if stood["status"] not in ("cancelled", "completed"):
        raise Wrong(f"{run['id']} is {stood['status']} after cancel: {stood.get('error')}")


async def approved(session: Session, traced: Traced) -> None:
    """What a run waits for is approved at any gateway."""
    to = {"source": "lake", "prefix": "results/{run_id}/"}
    body = session.asked(approval=["write"], artifacts_to=to)
    run = await session.front("POST", "/v1/runs", json=body)
    last: dict[str, Any] = {}
    was_asked = False
    async for event in session.events(run["id"], traced):
        last = event
        if asked := event.get("approval_requested"):
            was_asked = True
            word = {"approved": True, "approval_id": asked["approval_id"], "rest_of_run": True}
            await session.elsewhere("POST", f"/v1/runs/{run['id']}/approvals", json=word)
    if "completed" not in last or not was_asked:
        raise Wrong(f"{run['id']} ended with {last}, asked: {was_asked}")


async def two_turns(session: Session, _: Traced) -> None:
    """The second turn finds the files of the first, wherever either is answered."""
    first = await session.front("POST", "/v1/chat/completions", json=session.asked())
    thread = first["choices"][0]["message"]["thread_id"]
    said = [{"role": "user", "content": "How many rows are there?"}]
    again = {"messages": said, "thread_id": thread}
    second = await session.front("POST", "/v1/chat/completions", json=again)
    _require_answer(second["choices"][0]["message"]["content"])


async def looked_at(session: Session, _: Traced) -> None:
    """Data without a run."""
    told = await session.front("POST", "/v1/data-sources/sales/query", json={"sql": SQL})
    if told["row_count"] != 1:
        raise Wrong(f"{SQL} gave {told}")
    await session.front("GET", "/v1/data-sources/lake/preview?path=shipments/*.parquet")
    made = await session.front("POST", "/v1/files", files={"file": ("notes.txt", b"kept")})
    kept = await session.elsewhere("GET", f"/v1/files/{made['id']}/content")
    if kept.content != b"kept":
        raise Wrong(f"{made['id']} holds {kept.content!r}")
    await session.front("DELETE", f"/v1/files/{made['id']}")


async def source_life(session: Session, _: Traced) -> None:
    """A source that is made is there for every gateway, and one that is deleted for none."""
    name = f"s{session.users.drawn.randrange(10**9)}"
    body = {"name": name, "type": "local_file", "config": {"root": "files"}}
    made = await session.front("POST", "/v1/data-sources", json=body)
    path = f"/v1/data-sources/{made['id']}"
    await session.elsewhere("GET", f"{path}/browse")
    await session.front("DELETE", path)
    for url in session.users.urls:
        try:
            gone = await session.client.get(f"{url}{path}/browse")
        except httpx.TransportError:
            continue
        if gone.status_code not in (404, 503):
            raise Wrong(f"{path} is deleted, and answers {gone.status_code}")
