"""All sessions: one for each owner and thread, closed when nobody used them for long."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servicekit import logs
from services.sandbox.errors import (
    Draining,
    NoSlot,
    NoWorkspace,
    UnknownSession,
    WorkspaceBusy,
    WorkspaceElsewhere,
)
from services.sandbox.isolation.port import Account, Bounds
from services.sandbox.line import Line, LineFull
from services.sandbox.live import LiveSession, Surroundings
from services.sandbox.session import State
from services.sandbox.shelf import Kept, Shelf
from services.sandbox.workspace import Workspace, remove_tree

_log = logs.get(__name__)
_LOOK_EVERY_S = 5.0
# a session that a run holds keeps its slot for this long without a call, in case its caller died
_HOLD_S = 30 * 60.0
# and one that was opened just now, until its caller's next call, in case that caller died
_CLAIM_S = 10.0
# of the time that a service has to stop, this at its end is for moving what runs held
_LEAVE_S = 30.0
# after a call of such a run, before its workspace moves
_SETTLED_S = 0.5
_EMPTY_S = 0.05
# gateways ask each second or so
_NOBODY_S = 5.0


@dataclass(frozen=True)
class Opened:
    session: LiveSession
    resumed: bool
    # there was no workspace
    fresh: bool
    # it came from another replica since the last session, and so many things did not
    moved_without: int
    expires_in_s: float


@dataclass
class _Entry:
    key: str
    session: LiveSession
    owner: str
    idle_s: float
    # whoever opened it has not made use of it yet
    claimed_until: float = 0.0


@dataclass(frozen=True)
class Rules:
    """`limit` sessions at once; for one more, at most `line` wait, each for `wait_s`. After
    `kernel_idle_s` without a call a kernel ends, after `idle_s` its session and files."""

    limit: int
    line: int
    wait_s: float
    kernel_idle_s: float
    idle_s: float


class Sessions:
    """`async with Sessions(…) as sessions`. On leaving, every session ends and its files go."""

    def __init__(self, around: Surroundings, workspaces: Path, rules: Rules) -> None:
        self._around, self._workspaces, self._rules = around, workspaces, rules
        self._line = Line(rules.line, self._held)
        self._entries: dict[str, _Entry] = {}
        self._by_key: dict[str, str] = {}
        # workspaces without a session
        self._kept: dict[str, Kept] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._coming = 0
        # no new sessions; then none for runs either
        self._draining = self._leaving = False
        # when a gateway last looked for room here, which all do that have a choice
        self.asked_at = float("-inf")
        self._expiring: asyncio.Task[None] | None = None

    @property
    def held(self) -> int:
        """Sessions that have a slot."""
        return len(self._entries)

    @property
    def busy(self) -> int:
        """Of these, the ones that nothing can put away: a run holds them, or is about to."""
        now = time.monotonic()
        return sum(not self._can_go(entry, now) for entry in self._entries.values())

    @property
    def waiting(self) -> int:
        """Callers in line for one."""
        return len(self._line)

    async def __aenter__(self) -> Self:
        self._expiring = asyncio.create_task(self._expire(), name="expiry of sessions")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
            with suppress(asyncio.CancelledError):
                await self._expiring
        closing = [self.close(each, remove_workspace=True) for each in list(self._entries)]
        await asyncio.gather(*closing)
        await self._around.threads.run(remove_tree, self._workspaces)

    async def open(self, owner: str, thread_id: str, bounds: Bounds, idle_s: float) -> Opened:
        """Waits in line when all slots are taken. Raises NoSlot, KernelFailed."""
        key = key_of(owner, thread_id)
        idle_s = min(idle_s or self._rules.idle_s, self._rules.idle_s)
        async with self._lock(key):
            session = self._find(key)
            self._require_open_here(key, session)
            resumed = session is not None and session.state is not State.BROKEN
            kept = self._kept.get(key)
            fresh = session is None and kept is None
            if session is None:
                session = await self._open(key, owner, bounds, idle_s)
            session.touch()
            self._entries[session.session_id].claimed_until = time.monotonic() + _CLAIM_S
            without = (kept.moved_without if kept else None) or 0
            return Opened(session, resumed, fresh, without, idle_s)

    def _require_open_here(self, key: str, session: LiveSession | None) -> None:
        """Raises Draining, WorkspaceElsewhere."""
        if self._leaving or (self._draining and not (session and session.sources.held)):
            raise Draining
        if key in self._kept and self._kept[key].export_id:
            raise WorkspaceElsewhere

    def get(self, session_id: str) -> LiveSession:
        """Raises UnknownSession."""
        entry = self._entries.get(session_id)
        if entry is None or entry.session.state is State.CLOSED:
            raise UnknownSession(session_id[:100])
        entry.session.touch()
        entry.claimed_until = 0.0
        return entry.session

    def for_program(self, session_id: str) -> LiveSession:
        """The same; none once this service stops for its runs too. Raises UnknownSession."""
        if self._leaving:
            raise UnknownSession(session_id[:100])
        return self.get(session_id)

    async def close(self, session_id: str, *, remove_workspace: bool) -> bool:
        """Whether it was there."""
        entry = self._entries.get(session_id)
        if entry is None:
            return False
        async with self._lock(entry.key):
            if self._entries.get(session_id) is not entry:
                return False
            await _to_its_end(self._close(entry, remove_workspace))
        return True

    async def _close(self, entry: _Entry, remove_workspace: bool) -> None:
        session = entry.session
        del self._entries[session.session_id]
        self._by_key.pop(entry.key, None)
        await session.close(remove_workspace=remove_workspace)
        if not remove_workspace:
            self._kept[entry.key] = Kept(time.monotonic() + entry.idle_s)
        self._around.changed.set()
        _log.info("session_closed", session=session.session_id, removed=remove_workspace)

    async def close_thread(self, key: str, *, remove_workspace: bool) -> bool:
        """The same for what a thread has: also its workspace where no session is open."""
        if await self.close(self._by_key.get(key, ""), remove_workspace=remove_workspace):
            return True
        return remove_workspace and await self._forget(key)

    async def _forget(self, key: str) -> bool:
        """Removes a workspace without a session; whether there was one."""
        async with self._lock(key):
            if key not in self._kept:
                return False
            await _to_its_end(self._removed(key))
            return True

    async def _removed(self, key: str) -> None:
        await self._around.threads.run(remove_tree, self._workspaces / key)
        del self._kept[key]

    def _lock(self, key: str) -> asyncio.Lock:
        return self._opening.setdefault(key, asyncio.Lock())

    def _find(self, key: str) -> LiveSession | None:
        entry = self._entries.get(self._by_key.get(key, ""))
        return entry.session if entry is not None else None

    def _held(self, owner: str) -> int:
        return sum(entry.owner == owner for entry in self._entries.values())

    async def _open(self, key: str, owner: str, bounds: Bounds, idle_s: float) -> LiveSession:
        await self._take_slot(owner)
        try:
            session = await self._opened(key, bounds)
        finally:
            self._coming -= 1
            self._around.changed.set()
        self._entries[session.session_id] = _Entry(key, session, owner, idle_s)
        self._by_key[key] = session.session_id
        self._kept.pop(key, None)
        _log.info("session_opened", session=session.session_id)
        return session

    async def _take_slot(self, owner: str) -> None:
        """Counts one as coming. Raises NoSlot when the line is full, or moves too slowly."""
        try:
            async with asyncio.timeout(self._rules.wait_s), self._line.turn(owner):
                await self._make_room()
                self._coming += 1
        except (TimeoutError, LineFull) as exc:
            raise NoSlot(self._rules.limit) from exc

    async def _make_room(self) -> None:
        """When all slots are taken, puts away the session that nobody used for longest: its kernel
        ends, its files stay for the next time. Waits while all are in use."""
        while len(self._entries) + self._coming >= self._rules.limit:
            session_id = self._spare(time.monotonic())
            if session_id is None:
                # one waits here, the others for their turn
                self._around.changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLAIM_S):
                        await self._around.changed.wait()
                continue
            _log.info("session_put_away", session=session_id)
            await self.close(session_id, remove_workspace=False)

    def _spare(self, now: float) -> str | None:
        """Of the sessions that no run holds or is about to, the one that was used least lately."""
        spare = [
            (entry.session.used_at, session_id)
            for session_id, entry in self._entries.items()
            if self._can_go(entry, now)
        ]
        return min(spare)[1] if spare else None

    def _can_go(self, entry: _Entry, now: float) -> bool:
        return _is_spare(entry, now) and not self._lock(entry.key).locked()

    async def _opened(self, key: str, bounds: Bounds) -> LiveSession:
        workspace = Workspace(self._workspaces / key, Account.own(), bounds.workspace_bytes)
        session = LiveSession(f"sb-{secrets.token_hex(12)}", workspace, bounds, self._around)
        kept = self._kept.get(key)
        try:
            await session.open(moved=kept is not None and kept.moved_without is not None)
        except BaseException:
            await asyncio.shield(session.close(remove_workspace=key not in self._kept))
            raise
        return session

    # -- moves to other replicas, and from there

    @asynccontextmanager
    async def departing(self, key: str) -> AsyncIterator[Shelf]:
        """While a workspace is sent away; a session that no run needs ends first. Never waits for
        another call: two replicas may ask each other. Raises WorkspaceBusy, NoWorkspace."""
        if self._lock(key).locked():
            raise WorkspaceBusy("another call works on it")
        async with self._lock(key):
            self.asked_at = time.monotonic()
            entry = self._entries.get(self._by_key.get(key, ""))
            if entry is not None:
                if not self._may_leave(entry, time.monotonic()):
                    raise WorkspaceBusy("a run holds it")
                await _to_its_end(self._close(entry, remove_workspace=False))
            if key not in self._kept:
                raise NoWorkspace
            yield self._shelf(key)

    @asynccontextmanager
    async def arriving(self, key: str) -> AsyncIterator[Shelf]:
        """While a workspace may come from elsewhere. Raises Draining."""
        async with self._lock(key):
            shelf = self._shelf(key)
            if self._draining and not shelf.is_home:
                raise Draining
            yield shelf

    async def forget_exported(self, key: str, export_id: str) -> bool:
        """Whether it was there. Raises WorkspaceBusy when that is not its last export."""
        if self._lock(key).locked():
            raise WorkspaceBusy("another call works on it")
        kept = self._kept.get(key)
        if kept is None and key not in self._by_key:
            return False
        if kept is None or kept.export_id != export_id:
            raise WorkspaceBusy("it was used since")
        return await self._forget(key)

    def _shelf(self, key: str) -> Shelf:
        return Shelf(
            key,
            self._workspaces / key,
            self._kept,
            time.monotonic() + self._rules.idle_s,
            in_use=key in self._by_key,
        )

    def _may_leave(self, entry: _Entry, now: float) -> bool:
        if _is_spare(entry, now):
            return True
        # between two programs of a run, when what the last one left was fetched
        session = entry.session
        resting = session.state in (State.IDLE, State.BROKEN) and not session.calls
        return self._leaving and resting and now - session.used_at > _SETTLED_S

    async def linger(self, seconds: float) -> None:
        """When the service is to stop: until everything has moved to other replicas. What a run
        holds stays for most of the time, then its program is ended."""
        self._draining = True
        last_s = min(seconds / 2, _LEAVE_S)
        if await self._emptied(seconds - last_s):
            return
        self._leaving = True
        for entry in self._entries.values():
            entry.session.end_program("drain")
        if not await self._emptied(last_s):
            _log.warning("workspaces_left_behind", count=self._left)

    async def _emptied(self, within_s: float) -> bool:
        """Or nobody is there to move anything."""
        begun = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._entries or self._kept or self._coming:
                    asked = max(begun, self.asked_at)
                    if not self.busy and time.monotonic() - asked > _NOBODY_S:
                        _log.warning("nobody_moves_workspaces", count=self._left)
                        return True
                    await asyncio.sleep(_EMPTY_S)
                return True
        return False

    @property
    def _left(self) -> int:
        return len(self._entries) + len(self._kept)

    # -- expiry

    async def _expire(self) -> None:
        while True:
            rules = self._rules
            await asyncio.sleep(min(_LOOK_EVERY_S, rules.idle_s, rules.kernel_idle_s))
            await self.expire(time.monotonic())

    async def expire(self, now: float) -> None:
        """Ends kernels, then removes sessions, that nobody used for their time."""
        for session_id, entry in list(self._entries.items()):
            running = entry.session.state in (State.RUNNING, State.INTERRUPTING)
            if not running and now - entry.session.used_at > entry.idle_s:
                _log.info("session_expired", session=session_id)
                await self.close(session_id, remove_workspace=True)
            elif now - entry.session.used_at > self._rules.kernel_idle_s:
                await entry.session.rest()
        for key, kept in list(self._kept.items()):
            if now > kept.ends:
                await self._forget(key)
        self._forget_locks()

    def _forget_locks(self) -> None:
        for key, lock in list(self._opening.items()):
            if not lock.locked() and key not in self._by_key and key not in self._kept:
                del self._opening[key]


def _is_spare(entry: _Entry, now: float) -> bool:
    """No run holds it, or is about to."""
    session = entry.session
    return (
        session.state in (State.IDLE, State.BROKEN)
        and not session.calls
        and now >= entry.claimed_until
        and (not session.sources.held or now - session.used_at > _HOLD_S)
    )


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """A caller that goes away leaves nothing half done."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def key_of(owner: str, thread_id: str) -> str:
    """A folder's name. The owner is part of it: nobody opens another's workspace by its thread."""
    return hashlib.sha256(f"{len(owner)}:{owner}:{thread_id}".encode()).hexdigest()[:40]
