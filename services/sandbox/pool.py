"""Kernels: some kept started for sessions to come, all of them known and ended."""

import asyncio
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from servicekit import logs
from servicekit.limits import Limiter
from services.sandbox.cells import Cell, CellDied
from services.sandbox.errors import KernelFailed
from services.sandbox.isolation.accounts import Accounts
from services.sandbox.isolation.port import Account, Bounds, Isolation, Slot
from services.sandbox.isolation.processes import Group, of_session, started_at
from services.sandbox.starters import Starter
from services.sandbox.workspace import remove_tree

_log = logs.get(__name__)
_AGAIN_S = 5.0
_RECORD = "leader.json"


@dataclass(frozen=True)
class Ground:
    """What kernels are started with."""

    isolation: Isolation
    accounts: Accounts
    bounds: Bounds
    starter: Starter
    threads: Limiter
    slots: Path


class Pool:
    """`async with Pool(ground, warm) as pool`. `take` gives a kernel that has begun, in a slot of
    its own, whose folder the caller renames; `give_back` ends it and removes what is left."""

    def __init__(self, ground: Ground, warm: int) -> None:
        self._ground, self._warm = ground, warm
        self._spare: list[Cell] = []
        self._wanted = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._cells: set[Cell] = set()
        self._watches: dict[Cell, asyncio.Task[None]] = {}

    @property
    def kept(self) -> int:
        """Kernels that nobody has yet."""
        return len(self._spare)

    async def __aenter__(self) -> Self:
        self._wanted.set()
        self._filling = asyncio.create_task(self._fill(), name="warm kernels")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._filling is not None:
            self._filling.cancel()
            with suppress(asyncio.CancelledError):
                await self._filling
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await asyncio.gather(*(self.give_back(cell) for cell in list(self._cells)))

    async def take(self, bounds: Bounds) -> Cell:
        """A kernel under a session's own bounds. One that was kept may have died since, and its
        death not be noticed yet: then it is another one. Raises KernelFailed."""
        while self._spare:
            cell = self._spare.pop(0)
            self._watches.pop(cell).cancel()
            self._wanted.set()
            try:
                return await self._begun(cell, bounds)
            except CellDied as died:
                _log.warning("kept_kernel_died", why=str(died))
        try:
            return await self._begun(await self._make(), bounds)
        except CellDied as died:
            raise KernelFailed(str(died)) from died

    async def _begun(self, cell: Cell, bounds: Bounds) -> Cell:
        try:
            await cell.begin(bounds)
        except BaseException:
            await self.give_back(cell)
            raise
        return cell

    async def give_back(self, cell: Cell) -> None:
        await cell.aclose()
        if cell in self._cells:
            self._cells.discard(cell)
            await self._ground.threads.run(remove_tree, self._folder(cell.slot.name))
            self._ground.accounts.give_back(cell.slot.account)

    async def _fill(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while len(self._spare) < self._warm:
                try:
                    cell = await self._make()
                except KernelFailed as exc:
                    _log.error("kernel_failed", why=str(exc))
                    await asyncio.sleep(_AGAIN_S)
                else:
                    self._spare.append(cell)
                    self._watches[cell] = asyncio.create_task(self._replace(cell))

    async def _replace(self, cell: Cell) -> None:
        """Another one in its place, should it end before a session takes it."""
        await cell.wait_end()
        _log.warning("kept_kernel_died", why="before a session took it")
        self._spare.remove(cell)
        del self._watches[cell]
        self._wanted.set()
        await self.give_back(cell)

    async def _make(self) -> Cell:
        ground = self._ground
        account = ground.accounts.take()
        slot: Slot | None = None
        try:
            slot = await ground.threads.run(self._slot, account)
            cell = Cell(ground.isolation, slot, ground.bounds)
            await cell.start(ground.starter)
            self._cells.add(cell)
            await ground.threads.run(self._record, cell)
        except BaseException:
            ground.accounts.give_back(account)
            if slot is not None:
                await asyncio.shield(ground.threads.run(remove_tree, self._folder(slot.name)))
            raise
        return cell

    def _folder(self, name: str) -> Path:
        return self._ground.slots / name

    def _slot(self, account: Account) -> Slot:
        name = secrets.token_hex(8)
        folder = self._folder(name)
        folder.mkdir(mode=0o711)
        # whatever umask this service has
        folder.chmod(0o711)
        work, scratch = folder / "work", folder / "scratch"
        for path in (work, scratch):
            path.mkdir(mode=0o700)
            _give(path, account)
        return Slot(name, work, scratch, account)

    def _record(self, cell: Cell) -> None:
        leader = cell.leader or 0
        record = {"leader": leader, "started": started_at(leader), "boot": _boot()}
        (self._folder(cell.slot.name) / _RECORD).write_text(json.dumps(record))


def _give(path: Path, account: Account) -> None:
    if account.switch:
        os.chown(path, account.uid, account.gid)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def end_leftovers(slots: Path) -> int:
    """Ends the processes of kernels whose service was killed; gives how many there were. Kernels
    die with their service by themselves; what they had started may not, without namespaces."""
    ended = 0
    for file in slots.glob(f"*/{_RECORD}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(file.read_text())
            if record["boot"] == _boot():
                ended += _end(int(record["leader"]), int(record["started"]))
    return ended


def _end(leader: int, started: int) -> int:
    """A number stays taken while it names a session: its members are those of the record, unless
    a process with the leader's number started at another time."""
    now = started_at(leader)
    if leader <= 1 or now not in (0, started):
        return 0
    members = of_session(leader)
    if members:
        Group(leader).kill()
    return len(members)
