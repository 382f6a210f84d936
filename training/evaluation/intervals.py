"""How sure a share is, and whether two differ: pure. All intervals are of 95 %."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# of the normal distribution
_Z = 1.959964
_DRAWS = 4000
_SEED = 20_261_201


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def wilson(share: float, of: int) -> Interval:
    """Of a share of `of` things (Wilson 1927); all there is of none."""
    if not of:
        return Interval(0.0, 1.0)
    z2 = _Z**2
    middle = share + z2 / (2 * of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low, high = ((middle + side * half) / (1 + z2 / of) for side in (-1, 1))
    # rounding may step over what was seen
    return Interval(max(0.0, min(low, share)), min(1.0, max(high, share)))


def bootstrap(values: Sequence[float]) -> Interval:
    """Of the mean, by drawing the values anew; the same for the same values."""
    if not values:
        return Interval(0.0, 0.0)
    drawn = np.random.default_rng(_SEED).integers(0, len(values), (_DRAWS, len(values)))
    means = np.asarray(values, dtype=float)[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))


def pass_at_1(attempts: Sequence[Sequence[bool]]) -> tuple[float, Interval]:
    """The mean over questions of the share of attempts that are right, with Wilson's interval for
    as many things as there are questions: attempts at the same question are alike, and the more
    they differ among themselves the wider it is than it would have to be."""
    if not attempts:
        return 0.0, wilson(0.0, 0)
    mean = sum(sum(each) / len(each) for each in attempts) / len(attempts)
    return mean, wilson(mean, len(attempts))


def mcnemar(won: int, lost: int) -> float:
    """The exact, two-sided p of as uneven a split of what two answer differently, where neither is
    better (McNemar 1947, by the binomial distribution)."""
    differing = won + lost
    if not differing:
        return 1.0
    tail: int = sum(math.comb(differing, each) for each in range(min(won, lost) + 1))
    return float(min(1, 2 * tail / 2**differing))
