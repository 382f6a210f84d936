"""Several sandbox services of this machine that know each other."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.ports import free_port
from servicekit.server import Server, ServerSettings
from servicekit.testing import open_channel, running
from services.sandbox.app import mount
from services.sandbox.settings import Settings
from tests.sandbox.boxes import TIERS, Box

OWNER = "ann"


@dataclass
class Member:
    """One service. `drain` stops it as a signal would, `crash` as its death would."""

    address: str
    home: Path
    server: Server
    stub: rpc.SandboxServiceStub
    stack: AsyncExitStack = field(repr=False)

    async def drain(self) -> None:
        await self.stack.aclose()

    async def crash(self) -> None:
        self.server.hurry()
        await self.stack.aclose()

    def workspaces(self) -> list[str]:
        folder = self.home / "workspaces"
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []

    async def take(
        self, thread: str, *origins: "Member | str", owner: str = OWNER
    ) -> pb.TakeWorkspaceResponse:
        addresses = [each if isinstance(each, str) else each.address for each in origins]
        request = pb.TakeWorkspaceRequest(thread_id=thread, owner=owner, origins=addresses)
        taken: pb.TakeWorkspaceResponse = await calling(self.stub.TakeWorkspace(request))
        return taken

    async def box(self, thread: str, code: str = "") -> Box:
        """The thread's session here, after this program."""
        box = Box(self.stub, thread)
        await box.open()
        if code:
            ran = await box.run(code)
            assert ran.finished.outcome == pb.OUTCOME_OK, ran
        return box

    async def load(self) -> pb.LoadResponse:
        told: pb.LoadResponse = await calling(self.stub.Load(pb.LoadRequest()))
        return told


@asynccontextmanager
async def fleet(
    count: int, *, drain_s: float = 10.0, strangers: int = 0, **changes: Any
) -> AsyncIterator[list[Member]]:
    """`strangers`: the last ones are no peers of the others."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    home = Path(tempfile.mkdtemp(prefix="isobath-fleet-"))
    home.chmod(0o711)
    try:
        async with AsyncExitStack() as stack:
            members = []
            for number, address in enumerate(addresses):
                wanted = {
                    "tier": TIERS[0],
                    "home": home / str(number),
                    "peers": tuple(addresses[: count - strangers]),
                    "connectors": (),
                    "warm": 0,
                    "grace_s": 1.0,
                    **changes,
                }
                own = await stack.enter_async_context(AsyncExitStack())
                server = await own.enter_async_context(
                    running(
                        (mount, Settings(**wanted)),
                        server_settings=ServerSettings(bind=address, drain_s=drain_s),
                    )
                )
                channel = await stack.enter_async_context(open_channel(server))
                stub = rpc.SandboxServiceStub(channel)
                members.append(Member(address, home / str(number), server, stub, own))
            yield members
            # nobody is left to take anything over
            for each in members:
                each.server.hurry()
    finally:
        await asyncio.to_thread(shutil.rmtree, home)
