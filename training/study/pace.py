"""What a step is, by the share of the time that is over. Pure."""

import math

_WARMUP = 0.05
_LEAST = 0.05  # of the highest rate, at the end


def rate(highest: float, over: float) -> float:
    """The learning rate where so much of the time (0…1) is over: it rises evenly, then falls as a
    cosine does."""
    if over < _WARMUP:
        return highest * max(over, 0.001) / _WARMUP
    falling = (min(over, 1.0) - _WARMUP) / (1 - _WARMUP)
    return highest * (_LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * falling)) / 2)


def moments(checkpoints: int) -> list[float]:
    """Shares of the time at which the model is measured and kept, the last at the end: each is half
    as far again, for a model learns most at the beginning."""
    return [round(0.5**at, 6) for at in reversed(range(checkpoints))]
