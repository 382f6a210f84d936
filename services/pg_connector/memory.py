"""How this process keeps what it frees: as little as may be, since what passes through it is large
and short-lived."""

import ctypes
import os
from contextlib import suppress

# mallopt(3). Each thread would else keep an arena of its own.
_M_ARENA_MAX, _ARENAS = -8, 1
# What a piece of up to 1 MiB is handled by is freed at once and asked for again. Were it taken from
# the kernel each time, its pages would be cleared each time, which costs as much as the decoding.
# What is larger is given back.
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 1200 * 1024
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 8 * 1024 * 1024


def keep_little() -> None:
    """For the whole process, before threads are started and before Arrow is imported, whose own
    allocator would keep what it once took. Does nothing where there is no glibc."""
    os.putenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def give_back() -> None:
    """What lies free between what is in use, after much has passed through. Takes milliseconds."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
