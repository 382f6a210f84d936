"""The sandbox service's replicas, as one: a thread's sessions go to the replica that it is placed
at, where its files and its kernel are."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import grpc

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling
from servicekit.replicas import Replicas
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.gateway.errors import ServiceLost, named
from services.gateway.placement import Placement, Placing
from services.gateway.routing import Room, by_room, preference

T = TypeVar("T")
Stub = rpc.SandboxServiceStub
_log = logs.get(__name__)
# what a replica said of its room holds for so long
_ROOM_S = 1.0
_ASK_S = 2.0
# a replica that cannot be reached for so long is given up, with the files of its threads
AWAY_S = 5.0
_AGAIN_S = 0.2
# one that is not listed any more, and that nothing was sent to for so long, is closed
_UNUSED_S = 24 * 3600.0


@dataclass
class Replica:
    """One sandbox service."""

    address: str
    channel: grpc.aio.Channel
    stub: rpc.SandboxServiceStub
    room: Room | None = None
    asked_at: float = float("-inf")
    used_at: float = float("-inf")
    # since when it cannot be reached, and when that was seen last
    away_since: float | None = None
    _away_at: float = float("-inf")

    def is_lost(self) -> bool:
        """It could not be reached just now; whether it has been so for long enough to give it
        up."""
        now = _now()
        if self.away_since is None or now - self._away_at > AWAY_S:
            self.away_since = now
        self._away_at = now
        return now - self.away_since > AWAY_S


@dataclass(frozen=True)
class Session:
    """One that is open. `stub`: of the replica that has it. `lost`: files that earlier programs of
    the thread left are not here, though there may have been some."""

    id: str
    tier: str
    stub: rpc.SandboxServiceStub
    lost: bool = False


class Sandboxes:
    """`addresses`: host:port, unix:path, or dns:///name:port."""

    def __init__(
        self,
        addresses: Sequence[str],
        placing: Placing,
        token: Secret | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._placing = placing
        self._replicas = Replicas(addresses, _opened, _unused, token=token, tls=tls)

    async def open(self, owner: str, thread_id: str, *, seconds: float) -> Session:
        """The thread's session, at the replica that has it, or at one with room for it. Raises
        `RemoteFault`, `ServiceLost`."""
        request = pb.OpenSessionRequest(thread_id=thread_id, owner=owner)
        placed = await self._placed(owner, thread_id)
        tried: set[str] = set()
        lost = False
        while True:
            replica = await self._at(placed)
            tried.add(replica.address)
            try:
                opened = await _asked(replica.stub.OpenSession(request, timeout=seconds))
            except (ServiceLost, RemoteFault) as fault:
                placed = await self._elsewhere(placed, replica, fault, tried)
                continue
            replica.away_since = None
            lost |= placed.used and opened.fresh
            if await self._placing.change(placed, replace(placed, used=True)):
                return Session(opened.session_id, opened.tier, replica.stub, lost=lost)
            placed = await self._followed(placed, replica, opened.session_id)

    async def remove(self, owner: str, thread_id: str) -> None:
        """End a thread's session, and remove its workspace wherever it is. Raises `RemoteFault`,
        `ServiceLost`."""
        listed = await self._replicas.listed()
        placed = await self._placing.get(owner, thread_id)
        # of threads that are older than the table any may have it
        places = {placed.replica, *placed.origins} if placed else set(listed)
        request = pb.CloseSessionRequest(thread_id=thread_id, owner=owner, remove_workspace=True)
        for address in sorted(places):
            replica = await self._replicas.reach(address)
            try:
                await self._patiently(replica, lambda stub: stub.CloseSession(request))
            except ServiceLost:
                # one that is gone took its files along
                if address in listed:
                    raise
        await self._placing.remove(owner, thread_id)

    async def channels(self) -> dict[str, grpc.aio.Channel]:
        """To each replica, by address."""
        return {at: each.channel for at, each in (await self._replicas.listed()).items()}

    async def aclose(self) -> None:
        """Closes what was opened."""
        await self._replicas.aclose()

    # Where a thread is

    async def _placed(self, owner: str, thread_id: str) -> Placement:
        known = await self._placing.get(owner, thread_id)
        if known is not None:
            return known
        address = (await self._choices(thread_id))[0]
        return await self._placing.add(Placement(owner, thread_id, address))

    async def _at(self, placed: Placement) -> Replica:
        replica = await self._replicas.reach(placed.replica)
        replica.used_at = _now()
        if replica.room is not None and not placed.used:
            # until it says so itself: others are placed meanwhile
            replica.room = replace(replica.room, held=replica.room.held + 1)
        return replica

    async def _elsewhere(
        self, placed: Placement, replica: Replica, fault: Exception, tried: set[str]
    ) -> Placement:
        """Where to ask next after this replica failed: there again, or at another one. Raises the
        fault where there is none."""
        full = isinstance(fault, RemoteFault) and fault.reason == "TOO_BUSY"
        if not isinstance(fault, ServiceLost) and (placed.used or not full):
            raise fault
        given_up = not full and replica.is_lost()
        others = [each for each in await self._choices(placed.thread_id, full) if each not in tried]
        if others and (full or given_up or not placed.used):
            return await self._placed_anew(placed, others[0], fault)
        if full or given_up:
            raise fault
        await asyncio.sleep(_AGAIN_S * random.uniform(1.0, 1.5))  # noqa: S311
        return placed

    async def _placed_anew(self, placed: Placement, to: str, why: Exception) -> Placement:
        _log.warning("thread_placed_anew", replica=placed.replica, to=to, why=str(why))
        anew = replace(placed, replica=to, origins=(), version=placed.version + 1)
        if await self._placing.change(placed, anew):
            return anew
        return await self._placed(placed.owner, placed.thread_id)

    async def _followed(self, seen: Placement, replica: Replica, session_id: str) -> Placement:
        """The placement that another gateway has changed while a session was opened; where it is
        elsewhere now, nothing is left here."""
        now = await self._placed(seen.owner, seen.thread_id)
        if now.replica != replica.address:
            request = pb.CloseSessionRequest(session_id=session_id, remove_workspace=False)
            with suppress(RemoteFault):
                await calling(replica.stub.CloseSession(request))
        return now

    async def _patiently(self, replica: Replica, ask: Callable[[Stub], Awaitable[T]]) -> T:
        """What is safe to repeat, until the replica is given up."""
        while True:
            try:
                return await _asked(ask(replica.stub))
            except ServiceLost:
                if replica.is_lost():
                    raise
            await asyncio.sleep(_AGAIN_S * random.uniform(1.0, 1.5))  # noqa: S311

    # Which replicas there are, and what they say

    async def _choices(self, thread_id: str, with_room: bool = False) -> list[str]:
        """Where a new session may go, best first; `with_room`: where it need not wait."""
        replicas = await self._replicas.listed()
        if len(replicas) > 1:
            await asyncio.gather(*(self._ask(each) for each in replicas.values()))
        there = {at: each.room for at, each in replicas.items() if each.away_since is None}
        if with_room:
            there = {at: room for at, room in there.items() if room is None or room.has_room}
        away = {at: 0 for at, each in replicas.items() if each.away_since is not None}
        choices = [*by_room(thread_id, there), *preference(thread_id, away)]
        if not choices and not with_room:
            raise ServiceLost("sandbox")
        return choices

    async def _ask(self, replica: Replica) -> None:
        """How much room it has, unless it said so just now."""
        if _now() - replica.asked_at < _ROOM_S:
            return
        replica.asked_at = _now()
        try:
            told = await _asked(replica.stub.Load(pb.LoadRequest(), timeout=_ASK_S))
        except ServiceLost:
            replica.is_lost()
        except RemoteFault as fault:
            # one of an earlier version does not say
            _log.info("room_not_told", replica=replica.address, why=fault.reason)
            replica.room = None
        else:
            replica.away_since = None
            replica.room = Room(
                told.slots, told.held, told.busy, told.waiting, draining=told.draining
            )


def _opened(address: str, channel: grpc.aio.Channel, _: AsyncExitStack) -> Replica:
    return Replica(address, channel, rpc.SandboxServiceStub(channel))


def _unused(replica: Replica) -> bool:
    return _now() - replica.used_at > _UNUSED_S


async def _asked(answer: Awaitable[T]) -> T:
    try:
        return await calling(answer)
    except RemoteFault as fault:
        raise named("sandbox", fault) from fault


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def reaching(
    addresses: Sequence[str], placing: Placing, token: Secret | None, tls: Tls | None
) -> AsyncIterator[Sandboxes]:
    """The replicas at these addresses, closed on leaving; the first call connects."""
    sandboxes = Sandboxes(addresses, placing, token, tls)
    try:
        yield sandboxes
    finally:
        await sandboxes.aclose()
