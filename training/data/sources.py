"""Which runs must stay on one side of a split: those that share a source, a table or a thread.

Pure. Runs are joined through what they share, so that a group is a connected component: a run of
`sales` and `lake` binds the runs of both together. Keys are hashed: a data set that is passed on
tells nothing of what a company's sources are called.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from training.data.record import INSTRUCTION, Record

_ENTRY = re.compile(r"^File \d+:\n", re.MULTILINE)
_DECODER = json.JSONDecoder()


def keys(record: Record) -> tuple[str, ...]:
    """What ties the run to others, hashed: its sources, or the files it was given where there are
    none; and its thread, for its earlier questions stand in the prompt. Never empty."""
    named = [f"source:{each.type}:{each.name}" for each in record.sources]
    tied = named or [f"file:{each}" for each in _files(record)]
    if record.thread_id:
        tied.append(f"thread:{record.thread_id}")
    return tuple(_hashed(each) for each in tied) or (_hashed(f"run:{record.run_id}"),)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _files(record: Record) -> list[str]:
    """Files of the prompt's `# Data`, by their columns where these are told, else by their name."""
    asked = next(
        (
            e.content
            for e in reversed(record.messages[: record.given])
            if e.content.startswith(INSTRUCTION)
        ),
        "",
    )
    _, _, data = asked.rpartition("\n# Data\n")
    return sorted({_shape(entry) for entry in _entries(data)})


def _entries(data: str) -> Iterable[dict[str, object]]:
    for found in _ENTRY.finditer(data):
        try:
            entry, _ = _DECODER.raw_decode(data, found.end())
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            yield entry


def _shape(entry: dict[str, object]) -> str:
    columns = entry.get("columns")
    if isinstance(columns, list) and columns:
        return json.dumps(columns, sort_keys=True)
    return str(entry.get("name", ""))


class Groups:
    """Union–find over keys. What it holds is one entry a key."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, tied: Sequence[str]) -> None:
        """Bind these keys together."""
        first = self._root(tied[0])
        for key in tied[1:]:
            root = self._root(key)
            # the smaller is the root, so that the order of the runs does not matter
            first, other = min(first, root), max(first, root)
            self._parent[other] = first

    def of(self, tied: Sequence[str]) -> str:
        """The key of the group that a run of these keys is in."""
        return self._root(tied[0])

    def _root(self, key: str) -> str:
        root = key
        while (parent := self._parent.setdefault(root, root)) != root:
            root = parent
        while key != root:
            self._parent[key], key = root, self._parent[key]
        return root
