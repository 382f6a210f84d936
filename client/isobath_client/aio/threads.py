"""Conversations: `isobath.threads`."""

from collections.abc import AsyncIterator

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1.analyst_pb2_grpc import AnalystServiceStub
from isobath_client.aio.calls import AsyncCalls


class AsyncThreads:
    """Questions in a row, over one workspace."""

    def __init__(self, stub: AnalystServiceStub, calls: AsyncCalls) -> None:
        self._stub, self._calls = stub, calls

    async def list(self) -> AsyncIterator[messages.Thread]:
        """All threads, newest first."""
        pages = self._calls.pages(
            self._stub.ListThreads,
            messages.ListThreadsRequest(),
            messages.ListThreadsResponse,
            lambda page: page.threads,
        )
        async for thread in pages:
            yield thread

    async def get(self, thread_id: str) -> messages.GetThreadResponse:
        """A thread, what was said in it, and the files of its runs."""
        request = messages.GetThreadRequest(thread_id=thread_id)
        reply = messages.GetThreadResponse
        return await self._calls.one(self._stub.GetThread, request, reply, safe=True)

    async def remove(self, thread_id: str) -> None:
        """Delete a thread with its workspace, its runs and their files."""
        request = messages.DeleteThreadRequest(thread_id=thread_id)
        reply = messages.DeleteThreadResponse
        await self._calls.one(self._stub.DeleteThread, request, reply, safe=True)
