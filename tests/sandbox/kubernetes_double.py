"""The part of Kubernetes' API that claims on pods need, over a real socket, as agent-sandbox v1beta1
answers; its pods are real sandbox services of the tier pod-vm, each on an address of its own.

It does not imitate: authentication, watches, validation against the CRD's schema, scheduling."""

import asyncio
import json
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from aiohttp import web

from servicekit.ports import free_port
from servicekit.server import ServerSettings
from servicekit.testing import running
from services.sandbox import tiers
from services.sandbox.app import mount
from services.sandbox.isolation.podvm import PodVm
from services.sandbox.settings import PodSettings, Settings
from services.sandbox.workspace import remove_tree

NAMESPACE, POOL = "isobath-sandboxes", "isobath-sandbox"
_PATH = "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/{namespace}/sandboxclaims"


def problem(status: int, reason: str, message: str) -> web.Response:
    told = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
    return web.json_response({**told, "code": status}, status=status)


@dataclass
class Pod:
    host: str
    home: Path
    stack: AsyncExitStack


@dataclass
class Kubernetes:
    """`claims` by name. `refuse`: answers of the next calls, in turn; `pods_left`: how many the
    namespace still has room for."""

    port: int
    changes: dict[str, Any]
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    refuse: list[web.Response | None] = field(default_factory=list)
    pods_left: int = 100
    asked: list[tuple[str, str]] = field(default_factory=list)
    _numbers: int = 1
    _starting: set["asyncio.Task[None]"] = field(default_factory=set)

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append((request.method, request.path.rpartition("/")[2]))
        if self.refuse and (answer := self.refuse.pop(0)) is not None:
            return answer
        answered: web.StreamResponse = await handler(request)
        return answered

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.gate])
        app.router.add_get(_PATH, self.list)
        app.router.add_post(_PATH, self.create)
        app.router.add_get(_PATH + "/{name}", self.get)
        app.router.add_patch(_PATH + "/{name}", self.patch)
        app.router.add_delete(_PATH + "/{name}", self.delete)
        return app

    async def list(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "SandboxClaimList", "items": [*self.claims.values()]})

    async def create(self, request: web.Request) -> web.Response:
        claim = await request.json()
        name = claim["metadata"]["name"]
        if name in self.claims:
            return problem(409, "AlreadyExists", f'sandboxclaims "{name}" already exists')
        assert claim["spec"]["warmPoolRef"]["name"] == POOL
        assert claim["spec"]["lifecycle"]["shutdownPolicy"] == "Delete"
        claim["metadata"]["uid"] = str(uuid.uuid4())
        pending = {"type": "Ready", "status": "False", "reason": "SandboxNotReady", "message": ""}
        claim["status"] = {"conditions": [pending]}
        self.claims[name] = claim
        if self.pods_left:
            self.pods_left -= 1
            task = asyncio.create_task(self._start(claim))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        return web.json_response(claim, status=201)

    async def _start(self, claim: dict[str, Any]) -> None:
        self._numbers += 1
        host = f"127.0.{self._numbers // 250 + 1}.{self._numbers % 250 + 1}"
        async with AsyncExitStack() as stack:
            home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="isobath-pod-"))
            stack.push_async_callback(asyncio.to_thread, remove_tree, home)
            await asyncio.to_thread(home.chmod, 0o711)
            wanted: dict[str, Any] = {"tier": "pod-vm", "sessions": 1, "warm": 0}
            wanted |= {"relayed": True, "home": home / "h", **self.changes}
            settings = Settings(**wanted)
            bind = ServerSettings(bind=f"{host}:{self.port}", drain_s=1.0)
            await stack.enter_async_context(running((mount, settings), server_settings=bind))
            self.pods[claim["metadata"]["name"]] = Pod(host, home / "h", stack.pop_all())
        ready = {"type": "Ready", "status": "True", "reason": "SandboxReady", "message": ""}
        name = claim["metadata"]["name"]
        claim["status"] = {
            "conditions": [ready],
            "sandbox": {"name": f"{name}-x7k2p", "podIPs": [host]},
        }

    async def get(self, request: web.Request) -> web.Response:
        claim = self._named(request)
        return web.json_response(claim) if claim else self._missing(request)

    async def patch(self, request: web.Request) -> web.Response:
        claim = self._named(request)
        if claim is None:
            return self._missing(request)
        assert request.content_type == "application/merge-patch+json"
        claim["spec"]["lifecycle"] |= (await request.json())["spec"]["lifecycle"]
        return web.json_response(claim)

    async def delete(self, request: web.Request) -> web.Response:
        claim = self._named(request)
        if claim is None:
            return self._missing(request)
        claim["metadata"]["deletionTimestamp"] = datetime.now(UTC).isoformat()
        task = asyncio.create_task(self.end(claim["metadata"]["name"]))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return web.json_response(claim)

    async def end(self, name: str) -> None:
        await self.kill(name)
        self.claims.pop(name, None)

    async def kill(self, name: str) -> None:
        """The pod goes, the claim stays."""
        pod = self.pods.pop(name, None)
        if pod is not None:
            await pod.stack.aclose()

    def _named(self, request: web.Request) -> dict[str, Any] | None:
        return self.claims.get(request.match_info["name"])

    def _missing(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return problem(404, "NotFound", f'sandboxclaims "{name}" not found')


@asynccontextmanager
async def kubernetes(folder: Path, **changes: Any) -> AsyncIterator[tuple[Kubernetes, PodSettings]]:
    """The API, and how a driver of pods reaches it. `changes`: settings of the pods."""
    made = Kubernetes(free_port(), changes)
    runner = web.AppRunner(made.app())
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    file = folder / "kubeconfig"
    file.write_text(json.dumps(_kubeconfig(port)))
    vm = {**tiers.MAKERS, "pod-vm": lambda python, library, _: PodVm(python, library, "Kata")}
    with mock.patch.object(tiers, "MAKERS", vm):
        try:
            yield made, PodSettings(POOL, NAMESPACE, made.port, ready_s=20.0, kubeconfig=file)
        finally:
            await asyncio.gather(*made._starting, return_exceptions=True)
            for name in list(made.claims):
                await made.end(name)
            await runner.cleanup()


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
