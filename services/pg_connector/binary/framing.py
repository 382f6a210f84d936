"""Where rows and fields lie in the bytes of COPY … (FORMAT binary).

All numbers are big-endian. A header of 19 bytes and as many more as its last four say. For each row
the number of its fields in two bytes, then each field: its length in four bytes, -1 for NULL, and
its bytes. At the end -1 instead of a number of fields.
https://www.postgresql.org/docs/18/sql-copy.html
"""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from services.pg_connector.binary import kernel
from services.pg_connector.binary.fields import (
    Bytes,
    Fields,
    Malformed,
    Places,
    Walk,
    bad_length,
    other_fields,
)

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES = len(SIGNATURE) + 8
_END = b"\xff\xff"
# behind the number of fields and the first length it can be told whether a row may begin here
_HEAD_BYTES = 6
# what no row reaches
_NOWHERE = 1 << 62


class Framing:
    """Takes bytes as they come and gives the fields of whole rows; the rest is kept until it makes
    a row. `width` = bytes of the first column's values where they all have the same, which makes
    rows easier to find. For one query, in one thread at a time."""

    def __init__(self, columns: int, width: int = 0) -> None:
        self._columns, self._width = columns, width
        self._parts = list[bytes]()
        self._size = 0
        # so many bytes are there to be before it is worth looking again
        self._wanted = _HEADER_BYTES
        self._at_header = True

    def take(self, piece: bytes) -> Fields | None:
        """None while there is no whole row. Raises Malformed."""
        self._parts.append(piece)
        self._size += len(piece)
        if self._size < self._wanted:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        begin = _behind_header(data) if self._at_header else 0
        if begin > len(data):
            self._keep(data, 0, begin)
            return None
        self._at_header = False
        walk = self._walk(data, begin)
        self._keep(data, walk.end, walk.wanted)
        return walk.fields if len(walk.fields) else None

    def _walk(self, data: bytes, begin: int) -> Walk:
        if kernel.KERNEL is not None:
            return kernel.KERNEL.walk(data, begin, self._columns)
        return _walk(data, begin, self._columns, self._width)

    def _keep(self, data: bytes, end: int, wanted: int) -> None:
        self._parts = [bytes(memoryview(data)[end:])]
        self._size, self._wanted = len(data) - end, wanted - end


def _behind_header(data: bytes) -> int:
    if not data.startswith(SIGNATURE):
        raise Malformed("no header of COPY's binary format")
    return _HEADER_BYTES + int.from_bytes(data[_HEADER_BYTES - 4 : _HEADER_BYTES], "big")


def _walk(data: bytes, begin: int, columns: int, width: int) -> Walk:
    """With numpy: rows are found by what they begin with, and all that look like one are walked
    column by column at once."""
    view = np.frombuffer(data, np.uint8)
    rows = _candidates(view, begin, columns, width)
    starts, lengths, ends = _walked(view, rows, columns)
    chosen = _chain(begin, rows, ends, len(data))
    end = int(ends[chosen[-1]]) if len(chosen) else begin
    if len(chosen) < len(rows):
        starts, lengths = starts[:, chosen], lengths[:, chosen]
    return Walk(Fields(view, starts, lengths), end, _wanted(data, end, columns, rows, ends))


def _candidates(view: Bytes, begin: int, columns: int, width: int) -> Places:
    """Where a row may begin: what looks like the number of fields and a first length. All that do
    begin are among them."""
    last = len(view) - _HEAD_BYTES
    if last < begin:
        return np.empty(0, np.int64)
    high, low = divmod(columns, 256)
    found: Places = np.flatnonzero(view[begin + 1 : last + 2] == low) + begin
    found = found[view[found] == high]
    first = _lengths(view)[found + 2]
    return found[(first == width) | (first == -1) if width else first >= -1]


def _lengths(view: Bytes) -> npt.NDArray[np.int32]:
    """The four bytes at each place as a number."""
    return np.ndarray((max(0, len(view) - 3),), ">i4", view, strides=(1,))


def _walked(view: Bytes, rows: Places, columns: int) -> tuple[Places, Places, Places]:
    """Starts and lengths of the fields were a row to begin at each of these places, and where it
    would end: behind the data, at least so far, where it is not whole."""
    starts = np.empty((columns, len(rows)), np.int64)
    lengths = np.empty((columns, len(rows)), np.int64)
    read, last = _lengths(view), len(view) - 4
    at = rows + 2
    for column in range(columns):
        length = read[np.minimum(at, last)].astype(np.int64)
        # where the length itself lies behind the data nothing is known of it
        length[at > last] = 0
        starts[column], lengths[column] = at + 4, length
        at = starts[column] + length
        if length.min(initial=0) < 0:
            at[length == -1] += 1
            at[length < -1] = _NOWHERE
    return starts, lengths, at


def _chain(begin: int, rows: Places, ends: Places, size: int) -> Places:
    """Which of the candidates are whole rows: each begins where the one before ends. Nearly all do,
    so that whole runs of them are taken at once."""
    breaks = [*np.flatnonzero(ends[:-1] != rows[1:]).tolist(), len(rows) - 1]
    runs = [np.empty(0, np.int64)]
    at = 0 if len(rows) and rows[0] == begin else len(rows)
    while at < len(rows):
        stop = breaks[bisect_left(breaks, at)]
        runs.append(np.arange(at, stop + 1))
        at = int(np.searchsorted(rows, ends[stop]))
        if at < len(rows) and rows[at] != ends[stop]:
            break
    found = np.concatenate(runs)
    # only the last may not be whole
    return found[:-1] if len(found) and ends[found[-1]] > size else found


def _wanted(data: bytes, end: int, columns: int, rows: Places, ends: Places) -> int:
    """How long the data must be, at least, for the row that begins at `end`."""
    head = data[end : end + 2]
    if len(head) < 2 or head == _END:
        return end + 2 + len(head)
    place = int(np.searchsorted(rows, end))
    known = place < len(rows) and rows[place] == end
    if int.from_bytes(head, "big") != columns or (known and ends[place] >= _NOWHERE):
        raise other_fields()
    if not known and len(data) - end >= _HEAD_BYTES:
        raise bad_length()
    return int(ends[place]) if known else end + _HEAD_BYTES
