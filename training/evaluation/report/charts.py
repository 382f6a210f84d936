"""Figures as inline SVG, coloured by the page's style: pure. Each has a title for those who do not
see it, and stands beside a table or a list of the same figures."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation.intervals import Interval

_WIDTH = 640
_LABEL, _VALUE = 190, 90
_ROW, _BAR = 26, 16
_BINS = 12


@dataclass(frozen=True)
class Bar:
    """`share` of 1 fills the width; `interval` is drawn as a whisker, `behind` as a paler bar."""

    label: str
    share: float
    value: str
    interval: Interval | None = None
    behind: float = 0.0
    # a class of the style
    kind: str = "right"


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Bars from left to right, one below the other."""
    height = len(rows) * _ROW + 4
    inner = "".join(_bar(each, at * _ROW + 2) for at, each in enumerate(rows))
    return _svg(title, height, inner)


def _bar(bar: Bar, top: int) -> str:
    room = _WIDTH - _LABEL - _VALUE
    middle = top + _ROW / 2
    y = middle - _BAR / 2
    parts = [
        f'<text class="label" x="{_LABEL - 8}" y="{middle + 4:g}" text-anchor="end">'
        f"{html.escape(bar.label)}</text>",
        f'<rect class="track" x="{_LABEL}" y="{y:g}" width="{room}" height="{_BAR}" rx="2"/>',
    ]
    if bar.behind > bar.share:
        parts.append(_rect("partly", _LABEL, y, room * bar.behind))
    parts.append(_rect(bar.kind, _LABEL, y, room * bar.share))
    if bar.interval is not None:
        low, high = (_LABEL + room * each for each in (bar.interval.low, bar.interval.high))
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle:g}H{high:.1f}'
            f'M{low:.1f} {middle - 4:g}v8M{high:.1f} {middle - 4:g}v8"/>'
        )
    parts.append(
        f'<text class="value" x="{_WIDTH - _VALUE + 8}" y="{middle + 4:g}">'
        f"{html.escape(bar.value)}</text>"
    )
    return "".join(parts)


def _rect(kind: str, x: float, y: float, width: float) -> str:
    if width <= 0:
        return ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
    )


def histogram(title: str, right: Sequence[float], wrong: Sequence[float], unit: str) -> str:
    """How often which value occurs, of what is right below and of what is not on top of it."""
    edges = _edges([*right, *wrong])
    counted = list(zip(_counted(right, edges), _counted(wrong, edges), strict=True))
    most = max((one + other for one, other in counted), default=0) or 1
    # room for the scale on the left and below
    left, bottom, tall = 34, 34, 130
    # the last mark needs some room beside the scale
    step = (288 - left) / len(counted)
    parts = [
        f'<path class="axis" d="M{left} 6V{tall}H288"/>',
        f'<text class="value" x="{left - 6}" y="14" text-anchor="end">{most}</text>',
        f'<text class="value" x="{left - 6}" y="{tall}" text-anchor="end">0</text>',
    ]
    for at, (one, other) in enumerate(counted):
        x, unit_height = left + at * step + 1, (tall - 8) / most
        parts.append(_column("right", x, tall, step - 2, one * unit_height))
        parts.append(_column("wrong", x, tall - one * unit_height, step - 2, other * unit_height))
    parts += [
        f'<text class="value" x="{left + at * step:.1f}" y="{tall + 15}" '
        f'text-anchor="{"end" if at == len(counted) else "middle"}">{number(value)}</text>'
        for at, value in _marks(edges, [*right, *wrong])
    ]
    parts.append(
        f'<text class="label" x="{(left + 288) / 2:g}" y="{tall + bottom - 3}" '
        f'text-anchor="middle">{html.escape(unit)}</text>'
    )
    return _svg(title, tall + bottom, "".join(parts), width=300)


def _column(kind: str, x: float, foot: float, width: float, height: float) -> str:
    if height <= 0:
        return ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{foot - height:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"/>'
    )


def _edges(values: Sequence[float]) -> list[float]:
    """From the least to the most, in steps that are easy to read."""
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    step = _round((high - low) / _BINS) or 1.0
    if _whole(values):
        step = max(1.0, step)
    first = math.floor(low / step) * step
    bins = max(1, math.floor((high - first) / step) + 1)
    return [first + step * at for at in range(bins + 1)]


def _marks(edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Which values stand below the scale, and after how many columns."""
    bins = len(edges) - 1
    # whole numbers that have a column each stand below its middle
    if edges[1] - edges[0] == 1 and _whole(values):
        every = 1 if bins <= 8 else 2
        return [(at + 0.5, edges[at]) for at in range(0, bins, every)]
    return [(at, edges[at]) for at in sorted({0, bins // 2, bins})]


def _whole(values: Sequence[float]) -> bool:
    return all(each == int(each) for each in values)


def _round(step: float) -> float:
    """Up to 1, 2 or 5 times a power of ten."""
    if step <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(each * power for each in (1, 2, 5, 10) if each * power >= step * (1 - 1e-9)))


def _counted(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    counted = [0] * (len(edges) - 1)
    for value in values:
        at = int((value - edges[0]) / (edges[1] - edges[0]) + 1e-9)
        counted[min(at, len(counted) - 1)] += 1
    return counted


def number(value: float) -> str:
    """Short: 1.2, 15, 3.4k, 12M."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def _svg(title: str, height: float, inner: str, *, width: int = _WIDTH) -> str:
    told = html.escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{told}">'
        f"<title>{told}</title>{inner}</svg>"
    )
