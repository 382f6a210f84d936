"""Records of a running platform's runs, over its client: those of one caller, newest first.

Who runs the gateway has all owners' at once: `python -m services.gateway conversations`.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import records
from isobath_client.errors import NotFound
from training.data import private


class Runs(Protocol):
    """`Isobath.runs`, as far as it is needed."""

    def list(self) -> Iterator[analyst.Run]:
        """All runs of the caller, newest first."""

    def conversation(self, run_id: str) -> analyst.RunRecord:
        """What the model saw and wrote. Raises `NotFound` where none was kept."""


def export(runs: Runs, output: Path, *, limit: int, since: datetime | None = None) -> Counter[str]:
    """Write the records of completed runs to a new file that appears whole or not at all; how many
    there are by what became of them. Raises FileExistsError and `IsobathError`."""
    if output.exists():
        raise FileExistsError(output)
    partial = output.with_name(f".{output.name}.partial")
    partial.unlink(missing_ok=True)
    told: Counter[str] = Counter()
    try:
        with private.create(partial) as file:
            for run in takewhile(lambda run: _is_since(run, since), runs.list()):
                if told["written"] == limit:
                    break
                if run.state != analyst.RUN_STATE_COMPLETED:
                    told["not completed"] += 1
                elif record := _record(runs, run.run_id):
                    file.write(records.line(record).encode())
                    told["written"] += 1
                else:
                    told["without a conversation"] += 1
        partial.rename(output)
    finally:
        partial.unlink(missing_ok=True)
    return told


def _is_since(run: analyst.Run, since: datetime | None) -> bool:
    return since is None or run.created_at.ToDatetime(since.tzinfo) >= since


def _record(runs: Runs, run_id: str) -> analyst.RunRecord | None:
    try:
        return runs.conversation(run_id)
    except NotFound:
        return None
