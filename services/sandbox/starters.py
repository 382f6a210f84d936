"""Two ways to start a kernel: a Python of its own, or a fork of one that has its libraries."""

import asyncio
import os
from dataclasses import dataclass
from typing import Protocol

from services.sandbox.forked import Forked
from services.sandbox.isolation import inside
from services.sandbox.isolation.port import Bounds, Family, Isolation, Launch, Slot
from services.sandbox.isolation.processes import Group, Joined, Tree, children
from services.sandbox.spawner import Child, Death, Spawner
from services.sandbox.template import Template


class Ending(Protocol):
    """A kernel's end: `ended` is set once all of it is gone."""

    ended: asyncio.Event
    death: Death | None


@dataclass(frozen=True)
class Started:
    # the process that all others of this kernel die with
    leader: int
    ending: Ending
    family: Family


class Starter(Protocol):
    async def start(
        self, slot: Slot, bounds: Bounds, sockets: tuple[int, int], words: int
    ) -> Started:
        """`sockets`: the kernel's ends of control and broker, which stay the caller's. Raises
        OSError."""


class Fresh:
    """Each kernel is a Python that is executed: 1 to 3 s, and a memory layout of its own."""

    def __init__(self, isolation: Isolation, spawner: Spawner) -> None:
        self._isolation, self._spawner = isolation, spawner

    async def start(
        self, slot: Slot, bounds: Bounds, sockets: tuple[int, int], words: int
    ) -> Started:
        launch = self._isolation.launch(slot, bounds, *sockets)
        child = await self._spawner.start(launch, inherited=sockets, words=words)
        return Started(child.pid, child, self._isolation.family(child.pid))


class Forking:
    """Each kernel is a fork of the template, under the same confinement."""

    def __init__(self, isolation: Isolation, spawner: Spawner, template: Template) -> None:
        self._isolation, self._spawner, self._template = isolation, spawner, template

    async def start(
        self, slot: Slot, bounds: Bounds, sockets: tuple[int, int], words: int
    ) -> Started:
        try:
            return await self._start(slot, bounds, sockets, words)
        except OSError:
            # one that is on its way out still takes requests: its successor is asked
            if not await self._template.lost():
                raise
            return await self._start(slot, bounds, sockets, words)

    async def _start(
        self, slot: Slot, bounds: Bounds, sockets: tuple[int, int], words: int
    ) -> Started:
        seat = self._isolation.seat(slot, bounds)
        if seat.holder is None:
            config = inside.written(seat.config)
            forked = await self._forked((words, *sockets, config), None)
            return Started(forked.pid, forked, Group(forked.pid))
        holder = await _held(self._spawner, seat.holder, words)
        try:
            [init] = children(holder.pid) or [0]
            place = os.pidfd_open(init)
            config = inside.written({**seat.config, "place": init})
            forked = await self._forked((words, *sockets, config, place), holder)
        except BaseException:
            Tree(holder.pid).kill()
            await asyncio.shield(holder.ended.wait())
            raise
        return Started(holder.pid, forked, Joined(holder.pid, forked.pid))

    async def _forked(self, descriptors: tuple[int, ...], holder: Child | None) -> Forked:
        """Closes the descriptors that this module opened: what follows the kernel's sockets."""
        try:
            reader, writer = os.pipe()
            forked = Forked(reader, holder)
            try:
                await self._template.fork((writer, *descriptors))
            finally:
                os.close(writer)
            await forked.begun()
        finally:
            for descriptor in descriptors[3:]:
                os.close(descriptor)
        return forked


async def _held(spawner: Spawner, launch: Launch, words: int) -> Child:
    """The process that holds a kernel's namespaces, once they stand."""
    reader, writer = os.pipe()
    try:
        try:
            holder = await spawner.start(launch, inherited=(), words=words, out=writer)
        finally:
            os.close(writer)
        try:
            await _line(reader)
        except BaseException:
            Tree(holder.pid).kill()
            await asyncio.shield(holder.ended.wait())
            raise
    finally:
        os.close(reader)
    return holder


async def _line(reader: int) -> None:
    """Waits for a word, or for the end, which is told by OSError."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(reader, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(reader)
    if not os.read(reader, 64):
        raise OSError("bubblewrap ended before its namespaces stood")
