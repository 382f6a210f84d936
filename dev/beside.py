"""Of a lock, what this Python does not have yet in any version.

    python3 dev/beside.py requirements/inference.txt

For an image whose own packages belong together, such as vLLM's: they stay as they are."""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path


def missing(lock: str, present: set[str]) -> str:
    """The lines of the packages that are not there, with their hashes."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return "".join(each for each in entries[1:] if _name(each) not in present)


def _name(entry: str) -> str:
    return _plain(re.split(r"[=;\[ ]", entry, maxsplit=1)[0])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    known = {_plain(each.name) for each in distributions()}
    sys.stdout.write(missing(Path(sys.argv[1]).read_text(), known))
