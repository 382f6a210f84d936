"""Runs: `isobath.runs`."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1.analyst_pb2_grpc import AnalystServiceStub
from isobath_client.aio.calls import AsyncCalls
from isobath_client.aio.writing import written
from isobath_client.errors import IsobathError, Unavailable
from isobath_client.events import ENDS, Event, event_of
from isobath_client.retries import LOST


class AsyncRuns:
    """Questions that were asked, and what came of them."""

    def __init__(self, stub: AnalystServiceStub, calls: AsyncCalls) -> None:
        self._stub, self._calls = stub, calls

    async def list(self, *, thread: str = "") -> AsyncIterator[messages.Run]:
        """All runs, newest first."""
        request = messages.ListRunsRequest(thread_id=thread)
        pages = self._calls.pages(
            self._stub.ListRuns, request, messages.ListRunsResponse, lambda page: page.runs
        )
        async for run in pages:
            yield run

    async def get(self, run_id: str) -> messages.Run:
        """How a run stands."""
        request = messages.GetRunRequest(run_id=run_id)
        reply = messages.GetRunResponse
        return (await self._calls.one(self._stub.GetRun, request, reply, safe=True)).run

    async def cancel(self, run_id: str) -> messages.Run:
        """Stop a run: the model, the program and the query end within a second."""
        request = messages.CancelRunRequest(run_id=run_id)
        reply = messages.CancelRunResponse
        return (await self._calls.one(self._stub.CancelRun, request, reply, safe=True)).run

    async def approvals(self, run_id: str) -> Sequence[messages.Approval]:
        """What a run needed or needs an approval for, oldest first."""
        request = messages.ListApprovalsRequest(run_id=run_id)
        reply = messages.ListApprovalsResponse
        told = await self._calls.one(self._stub.ListApprovals, request, reply, safe=True)
        return told.approvals

    async def decide(
        self,
        run_id: str,
        approved: bool,
        *,
        approval_id: str = "",
        comment: str = "",
        rest_of_run: bool = False,
    ) -> messages.Approval:
        """Approve or refuse what a run waits for; without `approval_id`, the only thing. The model
        reads the comment of a refusal. `rest_of_run`: the same for all that the run will ask of
        this kind and source."""
        request = messages.DecideApprovalRequest(
            run_id=run_id,
            approval_id=approval_id,
            approved=approved,
            comment=comment,
            rest_of_run=rest_of_run,
        )
        reply = messages.DecideApprovalResponse
        told = await self._calls.one(self._stub.DecideApproval, request, reply, safe=True)
        return told.approval

    async def watch(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """A run's events with a sequence number above `after`, followed to its end.

        Where they break off they go on from the last one that came, for as long as the client's
        `retries.resume_s` says. Leaving leaves the run as it is.
        """
        failures, since = 0, 0.0
        while True:
            request = messages.WatchRunRequest(run_id=run_id, from_sequence=after + 1)
            try:
                told = self._calls.stream_once(self._stub.WatchRun, request)
                async with aclosing(told) as responses:
                    async for response in responses:
                        event = event_of(response.event)
                        after, failures = event.sequence, 0
                        yield event
                        if isinstance(event, ENDS):
                            return
                after = await self._unended(run_id, after)
                raise Unavailable(LOST, "The run's events broke off.", "Watch it again.")
            except IsobathError as error:
                failures += 1
                since = time.monotonic() if failures == 1 else since
                await self._calls.resume_or_raise(error, failures, since)

    async def _unended(self, run_id: str, after: int) -> int:
        """Where to go on when the events ended without an end of the run. A gateway that crashed
        may have lost the last ones, and numbered the end below what was seen."""
        run = await self.get(run_id)
        return min(after, run.last_sequence - 1) if run.HasField("ended_at") else after

    async def export(self, run_id: str, into: Path, *, format: str = "notebook") -> Path:
        """Write a run that has ended to `into`, a folder or a path, as "notebook" or "html"."""
        kind = f"EXPORT_FORMAT_{format.upper()}"
        request = messages.ExportRunRequest(run_id=run_id, format=kind)
        return await written(self._calls.stream(self._stub.ExportRun, request), into)

    async def conversation(self, run_id: str) -> messages.RunRecord:
        """What the model saw and wrote in a run that has ended, word by word, and how it ended;
        `isobath_client.records.line` makes it one of a file of records. `NotFound` with kind
        "conversation" where none was kept."""
        request = messages.GetConversationRequest(run_id=run_id)
        reply = messages.GetConversationResponse
        told = await self._calls.one(self._stub.GetConversation, request, reply, safe=True)
        return told.record

    async def rate(
        self,
        run_id: str,
        rating: Literal["", "up", "down"] = "",
        *,
        comment: str = "",
        correction: str = "",
    ) -> messages.RunFeedback:
        """Say whether a run's answer was right, or what it should have been, in Markdown; it takes
        the place of what this key said before."""
        request = messages.PutFeedbackRequest(
            run_id=run_id, rating=rating, comment=comment, correction=correction
        )
        reply = messages.PutFeedbackResponse
        return (await self._calls.one(self._stub.PutFeedback, request, reply, safe=True)).feedback

    async def feedback(self, run_id: str) -> Sequence[messages.RunFeedback]:
        """What there is of a run, of each key that gave any, oldest first."""
        request = messages.ListFeedbackRequest(run_id=run_id)
        reply = messages.ListFeedbackResponse
        return (await self._calls.one(self._stub.ListFeedback, request, reply, safe=True)).feedback

    async def unrate(self, run_id: str) -> None:
        """Take back what this key said of a run."""
        request = messages.DeleteFeedbackRequest(run_id=run_id)
        reply = messages.DeleteFeedbackResponse
        await self._calls.one(self._stub.DeleteFeedback, request, reply)

    async def question(self, run: messages.Run) -> str:
        """The words that a run answered: the last user message of its thread before it ended."""
        request = messages.GetThreadRequest(thread_id=run.thread_id)
        reply = messages.GetThreadResponse
        told = await self._calls.one(self._stub.GetThread, request, reply, safe=True)
        asked = (each for each in reversed(told.messages) if each.role == "user")
        return next((str(each.content) for each in asked), "")
