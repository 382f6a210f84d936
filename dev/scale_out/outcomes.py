"""What became of everything that users did, by kind and by what happened to the platform then."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MOST_FAULTS = 20


class Wrong(AssertionError):
    """Something that a user would call a defect: events missing, an answer lacking, a late end."""


@dataclass(frozen=True)
class Outcome:
    """Of one thing that a user did. `phases`: what went on meanwhile."""

    kind: str
    seconds: float
    phases: tuple[str, ...]
    fault: str = ""
    # how often it went on at another gateway
    hops: int = 0


@dataclass
class Traced:
    """What is noted meanwhile. `requests`: ids as the services' logs have them."""

    hops: int = 0
    requests: list[str] = field(default_factory=list)


@dataclass
class Outcomes:
    """All of a run of the load."""

    all: list[Outcome] = field(default_factory=list)
    _phases: list[tuple[str, float]] = field(default_factory=lambda: [("steady", 0.0)])

    def phase(self, name: str) -> None:
        """From now on this happens to the platform."""
        self._phases.append((name, time.monotonic()))

    @contextmanager
    def one(self, kind: str) -> Iterator[Traced]:
        """While a user does one thing; what is raised is its fault."""
        began, traced, fault = time.monotonic(), Traced(), ""
        try:
            yield traced
        except Exception as error:  # each is told, whatever it is
            last = " ".join(traced.requests[-2:])
            fault = f"{type(error).__name__}: {error}"[:400] + f" (requests {last})"
        now = time.monotonic()
        self.all.append(Outcome(kind, now - began, self._during(began, now), fault, traced.hops))

    def _during(self, began: float, ended: float) -> tuple[str, ...]:
        ends = [at for _, at in self._phases[1:]] + [float("inf")]
        spans = zip(self._phases, ends, strict=True)
        return tuple(name for (name, at), end in spans if at <= ended and end >= began)

    @property
    def faults(self) -> Sequence[Outcome]:
        return [each for each in self.all if each.fault]

    def lines(self) -> list[str]:
        """For people: a line for each kind, then what failed."""
        kinds = defaultdict(list)
        for each in self.all:
            kinds[each.kind].append(each)
        head = f"{'what users did':<28}{'times':>7}{'failed':>8}{'hops':>7}{'p50 s':>8}{'p95 s':>8}"
        lines = [head]
        for kind, found in sorted(kinds.items()):
            seconds = sorted(each.seconds for each in found)
            lines.append(
                f"{kind:<28}{len(found):>7}{sum(bool(each.fault) for each in found):>8}"
                f"{sum(each.hops for each in found):>7}{statistics.median(seconds):>8.2f}"
                f"{seconds[int(0.95 * (len(seconds) - 1))]:>8.2f}"
            )
        for each in self.faults[:MOST_FAULTS]:
            lines.append(f"  {each.kind} during {', '.join(each.phases)}: {each.fault}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "done": len(self.all),
            "failed": len(self.faults),
            "hops": sum(each.hops for each in self.all),
            "faults": [vars(each) for each in self.faults],
        }
