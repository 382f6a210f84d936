"""What a run used so far, and how long it took."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.checkpoint import Counted


@dataclass
class Spent:
    """What a run used so far. `waited` gives the seconds that it waited for approvals."""

    waited: Callable[[], float] = lambda: 0.0
    started: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    fetched_bytes: int = 0
    fetched_rows: int = 0
    estimated: bool = False

    def counted(self) -> Counted:
        """So far, for whoever goes on."""
        return Counted(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            rounds=self.rounds,
            fetched_bytes=self.fetched_bytes,
            fetched_rows=self.fetched_rows,
            estimated=self.estimated,
            elapsed_s=self.elapsed_s,
            waited_s=self.waited(),
        )

    @classmethod
    def going_on(cls, waited: Callable[[], float], so_far: Counted) -> "Spent":
        """From there. What lies between counts for nothing."""
        return cls(
            waited,
            time.monotonic() - so_far.elapsed_s,
            so_far.prompt_tokens,
            so_far.completion_tokens,
            so_far.rounds,
            so_far.fetched_bytes,
            so_far.fetched_rows,
            so_far.estimated,
        )

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    @property
    def worked_s(self) -> float:
        """Those of them that count against the bound."""
        return self.elapsed_s - self.waited()

    def message(self) -> analyst.RunUsage:
        """As the contract tells it."""
        elapsed, waited = Duration(), Duration()
        elapsed.FromMilliseconds(int(self.elapsed_s * 1000))
        waited.FromMilliseconds(int(self.waited() * 1000))
        return analyst.RunUsage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            rounds=self.rounds,
            fetched_bytes=self.fetched_bytes,
            fetched_rows=self.fetched_rows,
            elapsed=elapsed,
            waited=waited,
            estimated=self.estimated,
        )
