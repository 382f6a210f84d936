"""Conversations: `isobath.threads`."""

from collections.abc import Iterator

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1.analyst_pb2_grpc import AnalystServiceStub
from isobath_client.sync.calls import Calls


class Threads:
    """Questions in a row, over one workspace."""

    def __init__(self, stub: AnalystServiceStub, calls: Calls) -> None:
        self._stub, self._calls = stub, calls

    def list(self) -> Iterator[messages.Thread]:
        """All threads, newest first."""
        pages = self._calls.pages(
            self._stub.ListThreads,
            messages.ListThreadsRequest(),
            messages.ListThreadsResponse,
            lambda page: page.threads,
        )
        yield from pages

    def get(self, thread_id: str) -> messages.GetThreadResponse:
        """A thread, what was said in it, and the files of its runs."""
        request = messages.GetThreadRequest(thread_id=thread_id)
        reply = messages.GetThreadResponse
        return self._calls.one(self._stub.GetThread, request, reply, safe=True)

    def remove(self, thread_id: str) -> None:
        """Delete a thread with its workspace, its runs and their files."""
        request = messages.DeleteThreadRequest(thread_id=thread_id)
        reply = messages.DeleteThreadResponse
        self._calls.one(self._stub.DeleteThread, request, reply, safe=True)
