"""CSV as Fetch gives it, read row by row: RFC 4180, NULL an empty field, an empty text \"\"."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Cell = str | None
Value = str | int | float | bool | None
T = TypeVar("T")


def rows(pieces: Iterable[str]) -> Iterator[list[Cell]]:
    """Rows of a text that comes in pieces; the first is the header."""
    row: list[Cell] = []
    text, quoted, within = "", False, False

    def cell() -> Cell:
        return text if quoted or text else None

    for character in (each for piece in pieces for each in piece):
        if within:
            within = character != '"'
            text += character if within else ""
        elif character == '"':
            # the second of two within a quoted field stands for one
            text += '"' if quoted else ""
            quoted = within = True
        elif character == ",":
            row.append(cell())
            text, quoted = "", False
        elif character == "\n":
            yield [*row, cell()]
            row, text, quoted = [], "", False
        elif character != "\r":
            text += character
    if row or text or quoted:
        yield [*row, cell()]


def value(cell: Cell, arrow_type: str) -> Value:
    """A cell as JSON has it; what JSON's numbers cannot hold stays text."""
    if cell is None:
        return None
    if arrow_type.startswith(("int", "uint")):
        return int(cell)
    if arrow_type == "bool":
        return cell.lower() in ("true", "t", "1")
    if arrow_type in ("float", "double", "halffloat"):
        number = float(cell)
        return number if number - number == 0 else cell
    return cell


def numeric(arrow_type: str) -> bool:
    return arrow_type.startswith(("int", "uint", "float", "double", "halffloat", "decimal"))
