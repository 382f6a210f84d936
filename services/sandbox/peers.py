"""The other replicas of this service, from which a workspace may be taken over."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling, faults, streaming
from servicekit.replicas import Replicas
from servicekit.secrets import Secret
from servicekit.tls import Tls

_FORGET_S = 10.0


@dataclass
class Peer:
    """Its calls raise RemoteFault."""

    stub: rpc.SandboxServiceStub
    using: int = 0

    @asynccontextmanager
    async def export(
        self, thread_id: str, owner: str
    ) -> AsyncIterator[AsyncIterator[pb.ExportWorkspaceResponse]]:
        """What a thread's workspace holds there."""
        request = pb.ExportWorkspaceRequest(thread_id=thread_id, owner=owner)
        self.using += 1
        try:
            async with streaming(self.stub.ExportWorkspace(request)) as call:
                yield faults(call)
        finally:
            self.using -= 1

    async def forget(self, thread_id: str, owner: str, export_id: str) -> None:
        """All of that export is here."""
        request = pb.ForgetWorkspaceRequest(thread_id=thread_id, owner=owner, export_id=export_id)
        await calling(self.stub.ForgetWorkspace(request, timeout=_FORGET_S))


class Peers:
    """`async with Peers(addresses, token, tls) as peers`."""

    def __init__(self, addresses: Sequence[str], token: Secret | None, tls: Tls | None) -> None:
        self._replicas = Replicas(
            addresses, _peer, lambda each: not each.using, token=token, tls=tls
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._replicas.aclose()

    async def at(self, address: str) -> Peer | None:
        """None for what is no peer: nobody has this service call an address of his choice."""
        return (await self._replicas.listed()).get(address)


def _peer(_: str, channel: grpc.aio.Channel, __: AsyncExitStack) -> Peer:
    return Peer(rpc.SandboxServiceStub(channel))
