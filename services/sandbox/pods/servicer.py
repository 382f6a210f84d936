"""The sandbox's RPCs, answered by pods: each call goes on to the pod of its session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling, faults, streaming
from servicekit.status import InvalidField
from services.sandbox.approvals import Wish
from services.sandbox.connectors import Connectors
from services.sandbox.errors import Draining, UnknownApproval, UnknownSession
from services.sandbox.pods.carrier import Held
from services.sandbox.pods.pods import Pod, Pods


class PodServicer(rpc.SandboxServiceServicer):
    def __init__(self, pods: Pods, connectors: Connectors, draining: asyncio.Event) -> None:
        self._pods, self._connectors, self._draining = pods, connectors, draining

    async def OpenSession(self, request: pb.OpenSessionRequest, _: Any) -> pb.OpenSessionResponse:
        if not request.thread_id:
            raise InvalidField("thread_id", "a thread id is needed")
        if not self._pods.may_open(request.owner, request.thread_id):
            raise Draining
        idle = request.limits.idle.ToTimedelta() if request.limits.HasField("idle") else None
        pod, answer = await self._pods.open(
            request.owner, request.thread_id, request.limits, idle or None
        )
        answer.session_id = pod.outer_id
        answer.expires_at.FromDatetime(pod.ends)
        return answer

    async def AttachSources(
        self, request: pb.AttachSourcesRequest, _: Any
    ) -> pb.AttachSourcesResponse:
        pod = await self._inside(request)
        for kind in sorted({source.type for source in request.sources}):
            await self._connectors.of_type(kind)
        await pod.detach(request.run_id)
        pod.handles[request.run_id] = [_veiled(pod, source) for source in request.sources]
        written = [_veiled(pod, source, "write_grant") for source in request.sources]
        pod.handles[request.run_id] += written
        return await calling(pod.stub.AttachSources(request))

    async def DetachSources(
        self, request: pb.DetachSourcesRequest, _: Any
    ) -> pb.DetachSourcesResponse:
        pod = await self._inside(request)
        await pod.detach(request.run_id)
        return await calling(pod.stub.DetachSources(request))

    async def Import(self, request: pb.ImportRequest, _: Any) -> AsyncIterator[pb.ImportResponse]:
        pod = await self._inside(request)
        for item in request.items:
            # the caller's own selections: they need no approval
            item.source.ClearField("guarded")
            item.source.ClearField("write_grant")
        handles = [_veiled(pod, item.source) for item in request.items]
        try:
            async with streaming(pod.stub.Import(request)) as call:
                async for step in faults(call):
                    yield step
        finally:
            await pod.carrier.forget(handles)

    async def Execute(
        self, request: pb.ExecuteRequest, _: Any
    ) -> AsyncIterator[pb.ExecuteResponse]:
        if self._pods.leaving:
            raise UnknownSession(request.session_id[:100])
        pod = await self._inside(request)
        self._pods.programs += 1
        try:
            async with streaming(pod.stub.Execute(request)) as call:
                async for event in faults(call):
                    if event.HasField("approval"):
                        pod.asked[event.approval.approval_id] = Wish.of(event.approval)
                    yield event
        finally:
            self._pods.programs -= 1
            pod.asked.clear()
            pod.carrier.forget_approvals()

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, _: Any
    ) -> pb.DecideApprovalResponse:
        """What a person was shown may then be done once, and nothing else."""
        pod = await self._inside(request)
        wish = pod.asked.pop(request.approval_id, None)
        if wish is None:
            raise UnknownApproval(request.approval_id)
        if request.approved:
            pod.carrier.approve(wish)
        return await calling(pod.stub.DecideApproval(request))

    async def Interrupt(self, request: pb.InterruptRequest, _: Any) -> pb.InterruptResponse:
        return await calling((await self._inside(request)).stub.Interrupt(request))

    async def ListFiles(self, request: pb.ListFilesRequest, _: Any) -> pb.ListFilesResponse:
        return await calling((await self._inside(request)).stub.ListFiles(request))

    async def ReadFile(
        self, request: pb.ReadFileRequest, _: Any
    ) -> AsyncIterator[pb.ReadFileResponse]:
        pod = await self._inside(request)
        async with streaming(pod.stub.ReadFile(request)) as call:
            async for piece in faults(call):
                yield piece

    async def WriteFile(
        self, requests: AsyncIterator[pb.WriteFileRequest], context: Any
    ) -> pb.WriteFileResponse:
        coming = aiter(requests)
        first = await anext(coming, None)
        if first is None or first.WhichOneof("event") != "start":
            raise InvalidField("start", "the first message is `start`")
        pod = await self._inside(first.start)

        async def passed() -> AsyncIterator[pb.WriteFileRequest]:
            yield first
            async for request in coming:
                yield request

        left = context.time_remaining()
        return await calling(pod.stub.WriteFile(passed(), timeout=left))

    async def CloseSession(
        self, request: pb.CloseSessionRequest, _: Any
    ) -> pb.CloseSessionResponse:
        if not request.session_id and request.thread_id:
            found = await self._pods.of_thread(request.owner, request.thread_id)
            if found is None:
                return pb.CloseSessionResponse(existed=False)
            request.session_id = found
        if request.remove_workspace:
            return pb.CloseSessionResponse(existed=await self._pods.close(request.session_id))
        try:
            pod = await self._inside(request)
        except UnknownSession:
            return pb.CloseSessionResponse(existed=False)
        return await calling(pod.stub.CloseSession(request))

    async def TakeWorkspace(
        self, request: pb.TakeWorkspaceRequest, _: Any
    ) -> pb.TakeWorkspaceResponse:
        """It lies in the thread's pod, which any replica finds by its claim."""
        found = await self._pods.of_thread(request.owner, request.thread_id)
        return pb.TakeWorkspaceResponse(found=found is not None)

    async def Load(self, request: pb.LoadRequest, _: Any) -> pb.LoadResponse:
        """How many pods there may be is Kubernetes' to say."""
        return pb.LoadResponse(
            held=self._pods.held, busy=self._pods.busy, draining=self._draining.is_set()
        )

    async def _inside(self, request: Any) -> Pod:
        """The pod of the session that is named; its own name for it then stands in the request."""
        pod = await self._pods.get(request.session_id)
        request.session_id = pod.session_id
        return pod


def _veiled(pod: Pod, source: pb.Source, name: str = "grant") -> str:
    """Puts a handle in the grant's place."""
    grant, guarded = getattr(source, name), frozenset(source.guarded)
    handle = pod.carrier.handle(Held(grant, source.name, source.source_id, guarded))
    setattr(source, name, handle)
    return handle
