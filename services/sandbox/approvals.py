"""What a program may do only after a person approved it: told, waited for, decided.

The program's time does not run meanwhile. What is waited for ends with whoever asked."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.errors import NotApproved, UnknownApproval
from services.sandbox.execution import Asked, Execution

_ENDED = "the program that asked has ended"


@dataclass(frozen=True)
class Wish:
    """One statement, or one file, for one source: what is approved is this and nothing else."""

    source_id: str
    operation: "pb.GuardedOperation"
    query: bytes = b""
    path: str = ""
    overwrite: bool = False

    @classmethod
    def of(cls, asked: pb.ApprovalRequest) -> "Wish":
        """As a person is shown it."""
        query = _bytes(asked.query) if asked.HasField("query") else b""
        return cls(asked.source_id, asked.operation, query, asked.path, asked.overwrite)


def wished(source_id: str, request: connector.FetchRequest | connector.StoreRequest) -> Wish | None:
    """What a call to a connector would do that may be guarded. None = nothing."""
    if isinstance(request, connector.StoreRequest):
        start = request.start
        operation = pb.GUARDED_OPERATION_WRITE
        return Wish(source_id, operation, path=start.path, overwrite=start.overwrite)
    if not request.selection.HasField("query"):
        return None
    return Wish(source_id, pb.GUARDED_OPERATION_QUERY, _bytes(request.selection.query))


def _bytes(query: connector.Query) -> bytes:
    return query.SerializeToString(deterministic=True)


@dataclass(frozen=True)
class Decision:
    approved: bool
    comment: str = ""


class Approvals:
    """Of one session. `running` gives the program that runs, if one does."""

    def __init__(self, running: Callable[[], Execution | None]) -> None:
        self._running = running
        self._waiting: dict[str, asyncio.Future[Decision]] = {}

    async def require(self, wish: Wish, source: str) -> None:
        """Until it is approved. `source`: its name in code. Raises NotApproved."""
        execution = self._running()
        if execution is None:
            raise NotApproved(source, _operation(wish), _ENDED)
        id = f"apr-{secrets.token_hex(10)}"
        decision = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            with execution.resting():
                await execution.tell(Asked(_request(id, wish, source)))
                decided = await decision
        finally:
            del self._waiting[id]
        if not decided.approved:
            raise NotApproved(source, _operation(wish), decided.comment)

    def decide(self, id: str, decision: Decision) -> None:
        """Raises UnknownApproval when nobody waits for it."""
        waiting = self._waiting.get(id)
        if waiting is None or waiting.done():
            raise UnknownApproval(id)
        waiting.set_result(decision)

    def withdraw(self) -> None:
        """Refuses what is waited for: its program has ended."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(Decision(False, _ENDED))


def _request(id: str, wish: Wish, source: str) -> pb.ApprovalRequest:
    query = connector.Query.FromString(wish.query) if wish.query else None
    return pb.ApprovalRequest(
        approval_id=id,
        source=source,
        source_id=wish.source_id,
        operation=wish.operation,
        query=query,
        path=wish.path,
        overwrite=wish.overwrite,
    )


def _operation(wish: Wish) -> str:
    return "query" if wish.operation == pb.GUARDED_OPERATION_QUERY else "write"
