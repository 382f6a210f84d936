"""Moves of workspaces between replicas, in two phases: all of it is here, then it is gone there.

At the end of each step one of the two has it, or both and the one that is to lose it knows so: what
was exported whole is opened no more where it was, and yields to what another replica has."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit import logs
from servicekit.limits import Limiter
from servicekit.status import RemoteFault
from services.sandbox import metrics
from services.sandbox.isolation.port import Account
from services.sandbox.moving import Arrival, Departure
from services.sandbox.peers import Peer, Peers
from services.sandbox.sessions import Sessions, key_of
from services.sandbox.shelf import Shelf
from services.sandbox.workspace import Workspace, remove_tree

_log = logs.get(__name__)


class Moves:
    """`limit_bytes`: of one workspace."""

    def __init__(
        self, sessions: Sessions, peers: Peers, threads: Limiter, limit_bytes: int
    ) -> None:
        self._sessions, self._peers = sessions, peers
        self._threads, self._limit_bytes = threads, limit_bytes

    # -- away from here

    async def export(
        self, owner: str, thread_id: str
    ) -> AsyncGenerator[pb.ExportWorkspaceResponse, None]:
        """Raises WorkspaceBusy, NoWorkspace."""
        async with self._sessions.departing(key_of(owner, thread_id)) as shelf:
            departure = Departure(self._workspace(shelf.folder), self._threads)
            async with aclosing(departure.messages()) as messages:
                async for message in messages:
                    if message.HasField("summary"):
                        # before anybody can say that he has it
                        shelf.exported(departure.export_id)
                    yield message

    async def forget(self, owner: str, thread_id: str, export_id: str) -> None:
        """Raises WorkspaceBusy when that is not its last export."""
        if await self._sessions.forget_exported(key_of(owner, thread_id), export_id):
            metrics.MOVED.labels("out").inc()

    # -- to here

    async def take(
        self, owner: str, thread_id: str, origins: Sequence[str]
    ) -> pb.TakeWorkspaceResponse:
        """Raises Draining, BrokenTransfer, WorkspaceFull."""
        answer = pb.TakeWorkspaceResponse()
        async with self._sessions.arriving(key_of(owner, thread_id)) as shelf:
            if shelf.is_home:
                answer.found = True
                return answer
            for origin in reversed(origins):
                if await self._taken(shelf, owner, thread_id, origin, answer):
                    return answer
            if shelf.was_exported and not (answer.unreachable or answer.busy_at):
                # who took it over has lost it
                shelf.returned()
                answer.found = True
        return answer

    async def _taken(
        self,
        shelf: Shelf,
        owner: str,
        thread_id: str,
        origin: str,
        answer: pb.TakeWorkspaceResponse,
    ) -> bool:
        peer = await self._peers.at(origin)
        if peer is None:
            _log.warning("origin_is_no_peer", origin=origin)
            answer.unreachable.append(origin)
            return False
        coming = shelf.folder.with_name(f"{shelf.folder.name}.{secrets.token_hex(4)}")
        try:
            async with peer.export(thread_id, owner) as messages:
                arrival = Arrival(self._workspace(coming), self._threads)
                summary = await arrival.take(messages)
            await self._threads.run(shelf.put, coming)
            await self._let_go(peer, shelf, owner, thread_id, summary.export_id)
        except RemoteFault as fault:
            _note(answer, origin, fault)
            return False
        finally:
            await asyncio.shield(self._threads.run(remove_tree, coming))
        shelf.arrived(summary.left_out)
        metrics.MOVED.labels("in").inc()
        _log.info("workspace_taken", origin=origin, files=summary.files, left=summary.left_out)
        answer.MergeFrom(
            pb.TakeWorkspaceResponse(
                found=True, origin=origin, files=summary.files, bytes=summary.bytes
            )
        )
        return True

    async def _let_go(
        self, peer: Peer, shelf: Shelf, owner: str, thread_id: str, export_id: str
    ) -> None:
        """The second phase. Raises RemoteFault where the other keeps it."""
        try:
            await peer.forget(thread_id, owner, export_id)
        except RemoteFault as fault:
            if fault.reason == "CONFLICT":
                await self._threads.run(shelf.withdraw)
                raise
            # it knows that it was taken whole, and opens it for nobody
            _log.warning("origin_not_told", why=str(fault))

    def _workspace(self, folder: Path) -> Workspace:
        return Workspace(folder, Account.own(), self._limit_bytes)


def _note(answer: pb.TakeWorkspaceResponse, origin: str, fault: RemoteFault) -> None:
    if fault.reason == "CONFLICT":
        answer.busy_at = origin
    elif fault.reason != "NOT_FOUND":
        _log.warning("origin_unreachable", origin=origin, reason=fault.reason)
        answer.unreachable.append(origin)
