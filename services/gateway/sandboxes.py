"""The sandbox service's replicas, as one: a thread's sessions go to the replica that it is placed
at, where its files and its kernel are."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import grpc
from sqlalchemy.exc import SQLAlchemyError

from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling
from servicekit.replicas import Replicas
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.gateway import metrics
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
# and while all that can be reached are to stop, another one is waited for so long: in a rolling
# restart the one before may be coming back
COMING_S = 15.0
_AGAIN_S = 0.2
# the longest that a workspace takes to move
_MOVE_S = 600.0
# between looks for replicas that are to stop; so many threads of one at once, and in all
_SWEEP_S = 1.0
_AT_ONCE = 4
_SWEPT = 500
_HELD_S = 2.0
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
    the thread left are not here, though there may have been some. `moved_without`: it came from
    another replica without so many things that are no files."""

    id: str
    tier: str
    stub: rpc.SandboxServiceStub
    lost: bool = False
    moved_without: int = 0


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
        # threads that a run holds where they are: when to ask again
        self._held_until: dict[tuple[str, str], float] = {}
        self._replicas = Replicas(addresses, _opened, _unused, token=token, tls=tls)

    async def open(self, owner: str, thread_id: str, *, seconds: float) -> Session:
        """The thread's session, at the replica that has it, or at one with room for it. Raises
        `RemoteFault`, `ServiceLost`."""
        request = pb.OpenSessionRequest(thread_id=thread_id, owner=owner)
        until = _now() + COMING_S
        placed = await self._soon_placed(owner, thread_id, until)
        tried: set[str] = set()
        lost = False
        while True:
            replica = await self._at(placed)
            tried.add(replica.address)
            try:
                if placed.origins:
                    placed = await self._brought(placed, replica, patience_s=AWAY_S)
                    continue
                opened = await _asked(replica.stub.OpenSession(request, timeout=seconds))
            except (ServiceLost, RemoteFault) as fault:
                placed = await self._elsewhere(placed, replica, fault, tried, until)
                continue
            replica.away_since = None
            lost |= placed.used and opened.fresh
            if await self._placing.change(placed, replace(placed, used=True)):
                return Session(
                    opened.session_id,
                    opened.tier,
                    replica.stub,
                    lost=lost,
                    moved_without=opened.moved_without,
                )
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

    async def _soon_placed(self, owner: str, thread_id: str, until: float) -> Placement:
        while True:
            try:
                return await self._placed(owner, thread_id)
            except ServiceLost:
                if _now() >= until:
                    raise
            await asyncio.sleep(_AGAIN_S * random.uniform(1.0, 1.5))  # noqa: S311

    async def _at(self, placed: Placement) -> Replica:
        replica = await self._replicas.reach(placed.replica)
        replica.used_at = _now()
        if replica.room is not None and not placed.used:
            # until it says so itself: others are placed meanwhile
            replica.room = replace(replica.room, held=replica.room.held + 1)
        return replica

    async def _elsewhere(
        self,
        placed: Placement,
        replica: Replica,
        fault: Exception,
        tried: set[str],
        until: float,
    ) -> Placement:
        """Where to ask next after this replica failed: there again, or at another one. Raises the
        fault where there is none."""
        if isinstance(fault, RemoteFault) and fault.reason == "CONFLICT":
            return await self._reconciled(placed, replica)
        # or is to stop, which it tells in the same way
        full = isinstance(fault, RemoteFault) and fault.reason == "TOO_BUSY"
        if not full and not isinstance(fault, ServiceLost):
            raise fault
        given_up = not full and replica.is_lost()
        others = [each for each in await self._choices(placed.thread_id, full) if each not in tried]
        if others and (full or given_up or not placed.used):
            _log.info("thread_moves", replica=replica.address, to=others[0], why=str(fault))
            to = placed.moved_to(others[0])
            return to if await self._placing.change(placed, to) else await self._again(placed)
        if _now() < until and await self._is_stopping(replica):
            tried.clear()
        elif full or given_up:
            raise fault
        await asyncio.sleep(_AGAIN_S * random.uniform(1.0, 1.5))  # noqa: S311
        return placed

    async def _is_stopping(self, replica: Replica) -> bool:
        """Whether this one or another is, so that one that is away may be one that comes back."""
        replica.asked_at = float("-inf")
        await self._ask(replica)
        known = await self._replicas.known()
        return any(each.room is not None and each.room.draining for each in known.values())

    async def _again(self, placed: Placement) -> Placement:
        """What it is now."""
        return await self._placed(placed.owner, placed.thread_id)

    # A workspace that moves

    async def _brought(self, placed: Placement, replica: Replica, patience_s: float) -> Placement:
        """The placement once its workspace is there, wherever that turns out to be. What cannot be
        reached for so long is given up, with the files. Raises `RemoteFault`, `ServiceLost`."""
        until = _now() + patience_s
        while True:
            taken = await self._taken(placed, replica, placed.origins)
            gone = [await self._is_lost(address) for address in taken.unreachable]
            if taken.found or not (taken.busy_at or taken.unreachable) or (gone and all(gone)):
                to = placed.settled()
                break
            if _now() >= until:
                if taken.unreachable and not patience_s:
                    return placed
                to = placed.moved_to(taken.busy_at) if taken.busy_at else placed.settled()
                break
            await asyncio.sleep(_AGAIN_S * random.uniform(1.0, 1.5))  # noqa: S311
        return to if await self._placing.change(placed, to) else await self._again(placed)

    async def _taken(
        self, placed: Placement, replica: Replica, origins: Sequence[str]
    ) -> pb.TakeWorkspaceResponse:
        request = pb.TakeWorkspaceRequest(
            owner=placed.owner, thread_id=placed.thread_id, origins=origins
        )
        try:
            return await _asked(replica.stub.TakeWorkspace(request, timeout=_MOVE_S))
        except RemoteFault as fault:
            if fault.code != grpc.StatusCode.UNIMPLEMENTED:
                raise
            # one of an earlier version, to which nothing moves
            return pb.TakeWorkspaceResponse()

    async def _is_lost(self, address: str) -> bool:
        replica = await self._replicas.at(address)
        return replica is not None and replica.away_since is not None and replica.is_lost()

    async def _reconciled(self, placed: Placement, replica: Replica) -> Placement:
        """After the replica said that another one has the workspace."""
        now = await self._again(placed)
        if now == placed:
            # and no placement says so: whoever took it over has lost it
            await self._taken(placed, replica, ())
        await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1.0))  # noqa: S311
        return now

    async def empty(self) -> int:
        """Move what lies at replicas that are to stop to the others; how many placements that were
        not settled yet are left."""
        if len(await self._replicas.listed()) < 2:
            return 0
        known = await self._replicas.known()
        await asyncio.gather(*(self._ask(each) for each in known.values()))
        draining = [at for at, each in known.items() if each.room and each.room.draining]
        if not draining:
            self._held_until.clear()
        left = 0
        for address in draining:
            placements = list(await self._placing.at(address, _SWEPT))
            # several gateways do this at once
            random.shuffle(placements)
            slots = asyncio.Semaphore(_AT_ONCE)
            moved = [self._emptied(address, each, slots) for each in placements]
            left += (await asyncio.gather(*moved)).count(False)
        return left

    async def _emptied(self, address: str, placed: Placement, slots: asyncio.Semaphore) -> bool:
        """Whether the thread has left the address."""
        key = (placed.owner, placed.thread_id)
        if self._held_until.get(key, 0.0) > _now():
            return False
        async with slots:
            try:
                placed = await self._sent(address, placed)
            except (RemoteFault, ServiceLost) as fault:
                _log.warning("thread_not_moved", replica=address, why=str(fault))
                return False
        if address in (placed.replica, *placed.origins):
            self._held_until[key] = _now() + _HELD_S
            return False
        metrics.THREADS_MOVED.inc()
        return True

    async def _sent(self, address: str, placed: Placement) -> Placement:
        """The placement after a try to bring the thread away from the address."""
        there = [each for each in await self._choices(placed.thread_id) if each != address]
        known = await self._replicas.known()
        there = [each for each in there if known[each].away_since is None]
        if placed.replica not in there:
            if not there:
                return placed
            to = placed.moved_to(there[0])
            if not await self._placing.change(placed, to):
                return await self._again(placed)
            placed = to
        if not placed.origins:
            return placed
        replica = await self._replicas.reach(placed.replica)
        return await self._brought(placed, replica, patience_s=0.0)

    async def _followed(self, seen: Placement, replica: Replica, session_id: str) -> Placement:
        """The placement that another gateway has changed while a session was opened; where it is
        elsewhere now, nothing is left here."""
        now = await self._again(seen)
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
    emptying = asyncio.create_task(_emptying(sandboxes), name="emptying of sandboxes")
    try:
        yield sandboxes
    finally:
        emptying.cancel()
        await asyncio.gather(emptying, return_exceptions=True)
        await sandboxes.aclose()


async def _emptying(sandboxes: Sandboxes) -> None:
    """Follows the replicas that are to stop, for as long as this gateway runs."""
    while True:
        await asyncio.sleep(_SWEEP_S * random.uniform(0.7, 1.3))  # noqa: S311
        try:
            await sandboxes.empty()
        except (RemoteFault, ServiceLost, SQLAlchemyError) as fault:
            _log.warning("sandboxes_not_emptied", why=str(fault))
