"""Which replica a thread's turns go to. Pure.

A model's server keeps what it computed of a prompt, and the next turn of a thread begins with the
same prompt: so a thread goes to one replica, by rendezvous hashing, which moves only the threads of
a replica that comes or goes. One that has too much to do already is passed over for the next in the
thread's own order (bounded load).

A sandbox keeps a thread's files and kernel, so that where its first session goes is kept in a table
(`placement`); what is chosen here is that first replica."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

# no replica gets more than this times its even share
BOUND = 1.25


def preference(key: str, replicas: Mapping[str, int], bound: float = BOUND) -> list[str]:
    """The replicas, the one to ask first at the front; `replicas` tells how many answers each has
    under way. Those that are full come last, the least busy first."""
    ranked = sorted(replicas, key=lambda replica: _weight(key, replica), reverse=True)
    most = math.ceil(bound * (sum(replicas.values()) + 1) / max(1, len(replicas)))
    full = sorted((each for each in ranked if replicas[each] >= most), key=lambda r: replicas[r])
    return [each for each in ranked if replicas[each] < most] + full


def _weight(key: str, replica: str) -> bytes:
    return hashlib.blake2b(f"{replica}\0{key}".encode(), digest_size=8).digest()


@dataclass(frozen=True)
class Room:
    """What a sandbox says of itself. `slots` 0: no bound of its own."""

    slots: int = 0
    held: int = 0
    busy: int = 0
    waiting: int = 0
    draining: bool = False

    @property
    def is_free(self) -> bool:
        """One more session costs nobody anything."""
        return not self.slots or self.held + self.waiting < self.slots

    @property
    def has_room(self) -> bool:
        """One more session need not wait, though an idle one may be put away for it."""
        return not self.slots or self.busy + self.waiting < self.slots


def by_room(key: str, rooms: Mapping[str, Room | None]) -> list[str]:
    """The replicas that take new sessions, the one to ask first at the front: those with a free
    slot, those where an idle session makes room, those that do not say (None), and the full ones,
    the shortest line first."""
    taking = {at: room for at, room in rooms.items() if room is None or not room.draining}
    told = {at: room for at, room in taking.items() if room is not None}
    free = {at: room.held + room.waiting for at, room in told.items() if room.is_free}
    roomy = {
        at: room.busy + room.waiting
        for at, room in told.items()
        if room.has_room and not room.is_free
    }
    full = {at: room.waiting for at, room in told.items() if at not in {**free, **roomy}}
    silent = {at: 0 for at in taking if at not in told}
    return [
        *preference(key, free),
        *preference(key, roomy),
        *preference(key, silent),
        *sorted(full, key=lambda at: (full[at], _weight(key, at))),
    ]
