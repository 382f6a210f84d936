"""Files beneath a folder that others write too.

Nothing in it is to be trusted: every step goes by a descriptor of the folder before, no symbolic
link is followed, and only regular files are opened. (openat2's RESOLVE_BENEATH |
RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS does the same in one call, where containers let it pass;
this needs no more than openat.) The parts of a path are names that were checked before: none is
empty, `.` or `..`, none holds a slash. All functions block: call them in a thread.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a pipe that was planted under the name would block the opening
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# the descriptor of a folder and a name in it, to a descriptor of that folder
Step = Callable[[int, str], int]


class NotRegular(OSError):
    """It is there, and it is a link, a folder, a pipe, a socket or a device."""


def step(at: int, name: str) -> int:
    """The folder of that name. Raises OSError, also for a link."""
    return os.open(name, FOLDER, dir_fd=at)


@contextmanager
def folder(top: int, parts: Sequence[str], into: Step = step) -> Iterator[int]:
    """The last of these folders, each opened from the one before. `top` is taken over. Raises
    OSError."""
    at = top
    try:
        for part in parts:
            below = into(at, part)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def regular(at: int, name: str) -> tuple[int, os.stat_result]:
    """A regular file for reading, which the caller closes, and what it is. Raises NotRegular,
    OSError."""
    # opening alone may have an effect on a device
    _require_regular(os.stat(name, dir_fd=at, follow_symlinks=False))
    descriptor = os.open(name, FILE, dir_fd=at)
    try:
        # it may be another one by now
        found = os.fstat(descriptor)
        _require_regular(found)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotRegular("it is not a regular file")
