"""Which tokens count for the loss: pure, from spans of characters to labels of tokens."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from training.data.record import Span

# what PyTorch's cross entropy leaves out
IGNORED = -100


@dataclass(frozen=True)
class Masked:
    """`labels` are the ids of the tokens that count, IGNORED elsewhere. A token that lies across a
    border has text of both sides: it does not count, and its place is in `straddling`."""

    labels: list[int]
    straddling: list[int]


def extents(offsets: Sequence[Span]) -> list[Span]:
    """The characters that each token stands for. Some tokenizers leave blanks out of the offsets
    (`trim_offsets`): they belong to the token behind them. Of a character that is several tokens
    each has all of it."""
    found, end = [], 0
    for start, stop in offsets:
        if stop > start or stop > end:
            found.append((min(start, end), stop))
            end = stop
        else:
            found.append((end, end))
    return found


def labels(ids: Sequence[int], offsets: Sequence[Span], counted: Sequence[Span]) -> Masked:
    """`counted`: spans of characters, in order, apart from each other."""
    starts = [start for start, _ in counted]
    out, straddling = [], []
    for place, (token, (start, end)) in enumerate(zip(ids, extents(offsets), strict=True)):
        at = bisect_right(starts, start) - 1
        inside = at >= 0 and end <= counted[at][1]
        if start == end:
            out.append(IGNORED)
        elif inside:
            out.append(token)
        else:
            out.append(IGNORED)
            before = at >= 0 and start < counted[at][1]
            after = at + 1 < len(counted) and counted[at + 1][0] < end
            if before or after:
                straddling.append(place)
    return Masked(out, straddling)


def runs(values: Sequence[int]) -> list[Span]:
    """Stretches [start, end) of labels that count."""
    found: list[Span] = []
    begin = None
    for place, value in enumerate([*values, IGNORED]):
        if value != IGNORED and begin is None:
            begin = place
        elif value == IGNORED and begin is not None:
            found.append((begin, place))
            begin = None
    return found
