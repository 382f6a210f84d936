"""Numbers as people write them: pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-−–]\s?)?[€$£]?\s?"
    r"(?P<digits>\d{1,3}(?:[,   ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:\s?(?P<unit>%|percent\b|per cent\b|thousand\b|million\b|k\b|K\b|M\b|m\b))?"
)
_SCALES = {"thousand": 1e3, "k": 1e3, "K": 1e3, "million": 1e6, "M": 1e6, "m": 1e6}
_PERCENT = ("%", "percent", "per cent")
_EXPONENT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+")
# what may stand around the number of a cell
_AROUND = re.compile(r"[€$£\s]|EUR|USD|GBP")


@dataclass(frozen=True)
class Stated:
    """A number in a text."""

    value: float
    percent: bool


def stated(text: str) -> Iterator[Stated]:
    """The numbers of a text."""
    for found in _NUMBER.finditer(text):
        yield _read(found)


def only(cell: str) -> float | None:
    """The number that a cell is, without its unit; None where it is something else."""
    text = cell.strip()
    if _EXPONENT.fullmatch(text):
        return float(text)
    text = _AROUND.sub("", text).replace("+", "", 1)
    found = _NUMBER.fullmatch(text)
    return _read(found).value if found else None


def _read(found: re.Match[str]) -> Stated:
    value = float(re.sub(r"[,\s]", "", found["digits"]))
    unit = found["unit"] or ""
    signed = -value if found["sign"] else value
    return Stated(signed * _SCALES.get(unit, 1.0), unit in _PERCENT)
