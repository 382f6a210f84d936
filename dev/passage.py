"""Which folders other accounts can walk to."""

import os
from pathlib import Path


def passable(path: Path) -> bool:
    """Whether the accounts that our children run as may walk to `path`: ourselves, unless we are
    root; then accounts that are neither owner nor in the group."""
    if os.geteuid() != 0:
        return True
    path = path.resolve()
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
