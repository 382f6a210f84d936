"""How this process keeps what it frees: as little as may be, since what passes through it is large
and short-lived."""

import ctypes
from contextlib import suppress

import pyarrow as pa

# mallopt(3). Each thread would else keep an arena of its own: one for the loop, one for those that
# encode.
_M_ARENA_MAX, _ARENAS = -8, 2
# What a batch is decoded by is freed at once and asked for again. Were it taken from the kernel
# each time, its pages would be cleared each time, which costs as much as the decoding.
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 4 * 1024 * 1024
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 8 * 1024 * 1024


def keep_little() -> None:
    """For the whole process, before threads are started. Does nothing where there is no glibc."""
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
