"""How long to wait before a service that died is started again."""

from dataclasses import dataclass, field

FIRST_S = 0.2
FACTOR = 2.0
LONGEST_S = 10.0
# A process that lived this long died of something new: the count starts again.
STEADY_S = 30.0


@dataclass
class Backoff:
    """0.2 s, 0.4 s, … up to 10 s while a process keeps dying young."""

    deaths: int = field(default=0, init=False)

    def after(self, lived_s: float) -> float:
        """The pause after one more death."""
        if lived_s >= STEADY_S:
            self.deaths = 0
        self.deaths += 1
        return float(min(FIRST_S * FACTOR ** (self.deaths - 1), LONGEST_S))
