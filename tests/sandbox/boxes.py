"""A sandbox on this machine, and what tests do with it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling, faults, streaming
from servicekit.testing import open_channel, running
from services.sandbox.app import mount
from services.sandbox.kernel.confine import landlock_abi
from services.sandbox.settings import Settings
from tests.sandbox import connector as double
from tests.sandbox.kubernetes_double import Kubernetes, kubernetes

# every tier that this machine can hold
TIERS = [
    *(["namespaces"] if shutil.which("bwrap") else []),
    *(["landlock"] if landlock_abi() >= 6 else []),
]
PODS = "pods"


@dataclass
class Ran:
    text: dict[int, str] = field(default_factory=dict)
    order: list[tuple[int, str]] = field(default_factory=list)
    displays: list[dict[str, bytes]] = field(default_factory=list)
    artifacts: dict[str, pb.Artifact] = field(default_factory=dict)
    finished: pb.Finished = field(default_factory=pb.Finished)

    @property
    def out(self) -> str:
        return self.text.get(pb.STREAM_STDOUT, "")

    @property
    def err(self) -> str:
        return self.text.get(pb.STREAM_STDERR, "")

    @property
    def result(self) -> str:
        return self.text.get(pb.STREAM_RESULT, "")

    @property
    def traceback(self) -> str:
        return self.text.get(pb.STREAM_TRACEBACK, "")

    def take(self, event: pb.ExecuteResponse) -> None:
        match event.WhichOneof("event"):
            case "output":
                stream = event.output.stream
                self.order.append((stream, event.output.text))
                self.text[stream] = self.text.get(stream, "") + event.output.text
            case "display":
                self.displays.append(dict(event.display.data))
            case "artifact":
                self.artifacts[event.artifact.path] = event.artifact
            case "finished":
                self.finished = event.finished


class Box:
    """One session."""

    def __init__(self, stub: rpc.SandboxServiceStub, thread: str) -> None:
        self.stub, self.thread = stub, thread
        self.id = ""

    async def open(self, *, within_s: float | None = None, **limits: Any) -> pb.OpenSessionResponse:
        request = pb.OpenSessionRequest(
            thread_id=self.thread, owner="ann", limits=pb.SessionLimits(**limits)
        )
        opened: pb.OpenSessionResponse = await calling(
            self.stub.OpenSession(request, timeout=within_s)
        )
        self.id = opened.session_id
        return opened

    def call(self, code: str, timeout_s: float | None = None) -> Any:
        request = pb.ExecuteRequest(session_id=self.id, code=code)
        if timeout_s is not None:
            request.timeout.FromTimedelta(timedelta(seconds=timeout_s))
        return self.stub.Execute(request)

    async def run(self, code: str, timeout_s: float | None = None) -> Ran:
        ran = Ran()
        async with streaming(self.call(code, timeout_s)) as call:
            async for event in faults(call):
                ran.take(event)
        return ran

    async def attach(
        self,
        grant: str,
        run_id: str = "run",
        name: str = "shop",
        *,
        writes: str = "",
        guarded: "Sequence[pb.GuardedOperation]" = (),
    ) -> None:
        source = pb.Source(name=name, source_id="ds-1", type="double", grant=grant, guarded=guarded)
        if writes:
            source.MergeFrom(pb.Source(write_grant=writes, write_prefix="out/"))
        await calling(
            self.stub.AttachSources(
                pb.AttachSourcesRequest(session_id=self.id, run_id=run_id, sources=[source])
            )
        )

    async def load(self, *items: pb.ImportItem) -> list[pb.ImportResponse]:
        request = pb.ImportRequest(session_id=self.id, items=items)
        async with streaming(self.stub.Import(request)) as call:
            return [event async for event in faults(call)]

    async def files(self) -> dict[str, int]:
        listed = await calling(
            self.stub.ListFiles(pb.ListFilesRequest(session_id=self.id, page_size=1000))
        )
        return {file.path: file.size_bytes for file in listed.files}

    async def read(self, path: str) -> bytes:
        request = pb.ReadFileRequest(session_id=self.id, path=path)
        async with streaming(self.stub.ReadFile(request)) as call:
            return b"".join([event.piece async for event in faults(call)])

    async def write(self, path: str, content: bytes) -> pb.WriteFileResponse:
        start = pb.WriteFileRequest(start=pb.WriteFileStart(session_id=self.id, path=path))

        async def requests() -> AsyncIterator[pb.WriteFileRequest]:
            yield start
            yield pb.WriteFileRequest(piece=content)

        return await calling(self.stub.WriteFile(requests()))

    async def close(self, *, remove: bool = True) -> bool:
        request = pb.CloseSessionRequest(session_id=self.id, remove_workspace=remove)
        return bool((await calling(self.stub.CloseSession(request))).existed)


def item(
    *, path: str = "", sql: str = "", target: str = "", form: int = 0, grant: str = "read"
) -> pb.ImportItem:
    what = (
        connector.Selection(path=path)
        if path
        else connector.Selection(query=connector.Query(sql=sql))
    )
    source = pb.Source(name="shop", source_id="ds-1", type="double", grant=grant)
    return pb.ImportItem(source=source, selection=what, target=target, format=form)  # type: ignore[arg-type]


@dataclass
class Place:
    """A running sandbox service, with the connector double behind it."""

    stub: rpc.SandboxServiceStub
    seen: double.Seen
    home: Path
    tier: str
    threads: int = 0
    # of pods
    api: Kubernetes | None = None
    driver: Settings | None = None

    @asynccontextmanager
    async def box(self, *, within_s: float | None = None, **limits: Any) -> AsyncIterator[Box]:
        self.threads += 1
        box = Box(self.stub, f"thread-{self.threads}")
        await box.open(within_s=within_s, **limits)
        try:
            yield box
        finally:
            await box.close()


@asynccontextmanager
async def place(tier: str, **changes: Any) -> AsyncIterator[Place]:
    """A service of this tier; of "pods", one whose sessions are in pods of their own."""
    async with _in_pods(changes) if tier == PODS else _here(tier, changes) as made:
        yield made


@asynccontextmanager
async def _in_pods(changes: dict[str, Any]) -> AsyncIterator[Place]:
    home = Path(tempfile.mkdtemp(prefix="isobath-pods-"))
    seen = double.Seen()
    try:
        async with (
            running((double.mount, seen)) as connectors,
            kubernetes(home, grace_s=1.0, **changes) as (api, pods),
        ):
            addresses = (connectors.address,)
            driver = Settings(driver="pods", pods=pods, connectors=addresses)
            async with running((mount, driver)) as server, open_channel(server) as channel:
                stub = rpc.SandboxServiceStub(channel)
                yield Place(stub, seen, home, PODS, api=api, driver=driver)
    finally:
        await asyncio.to_thread(shutil.rmtree, home)


@asynccontextmanager
async def _here(tier: str, changes: dict[str, Any]) -> AsyncIterator[Place]:
    home = Path(tempfile.mkdtemp(prefix="isobath-sandbox-"))
    home.chmod(0o711)
    seen = double.Seen()
    try:
        async with running((double.mount, seen)) as connectors:
            wanted = {
                "tier": tier,
                "home": home / "home",
                "connectors": (connectors.address,),
                "grace_s": 1.0,
                **changes,
            }
            async with (
                running((mount, Settings(**wanted))) as server,
                open_channel(server) as channel,
            ):
                yield Place(rpc.SandboxServiceStub(channel), seen, home / "home", tier)
    finally:
        await asyncio.to_thread(shutil.rmtree, home)


def kernels_below(home: Path) -> list[int]:
    """Processes whose command or folder belongs to this sandbox."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                folder = os.readlink(entry / "cwd")
                # a kernel in namespaces calls its folder by another name, but has it mounted
                command = (entry / "cmdline").read_bytes() + (entry / "mountinfo").read_bytes()
            except OSError:
                continue
            if folder.startswith(str(home)) or str(home).encode() in command:
                found.append(int(entry.name))
    return found
