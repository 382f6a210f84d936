"""`Range`: which bytes of a body are wanted (RFC 9110, section 14). Pure."""

import re

from services.gateway.bytestore.port import Piece

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Unsatisfiable(ValueError):
    """There are no such bytes."""


def wanted(header: str, size: int) -> Piece | None:
    """The piece that is asked for; None = the whole, also where several are: a server may give all.

    Raises `Unsatisfiable`."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        # the last so many
        length = min(int(last), size)
        offset, end = size - length, size
    else:
        offset, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < offset:
            return None
    if offset >= end:
        raise Unsatisfiable(f"there are {size:,} bytes")
    return Piece(offset, end - offset)


def told(piece: Piece, size: int) -> str:
    """`Content-Range` of a piece."""
    return f"bytes {piece.offset}-{piece.offset + piece.length - 1}/{size}"
