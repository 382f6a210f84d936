"""How this process keeps what it frees: as little as may be, since what passes through it is large
and short-lived."""

import ctypes
from contextlib import suppress

import pyarrow as pa

# mallopt(3). Each thread would else keep an arena of its own: one for the loop, one for those that
# encode.
_M_ARENA_MAX = -8
_ARENAS = 2


def keep_little() -> None:
    """For the whole process, before threads are started. Does nothing where there is no glibc."""
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
