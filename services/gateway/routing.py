"""Which replica a thread's turns go to. Pure.

A model's server keeps what it computed of a prompt, and the next turn of a thread begins with the
same prompt: so a thread goes to one replica, by rendezvous hashing, which moves only the threads of
a replica that comes or goes. One that has too much to do already is passed over for the next in the
thread's own order (bounded load)."""

import hashlib
import math
from collections.abc import Mapping

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
