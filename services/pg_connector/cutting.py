"""Rows of CSV that come as bytes: counted, and cut exactly at a bound, without being parsed."""

import numpy as np
import numpy.typing as npt

from connectorkit.fetching import bytes_cut, rows_cut

_QUOTE, _LINE_END = ord('"'), ord("\n")


def row_ends(data: bytes) -> npt.NDArray[np.int64]:
    """Where rows end: behind each line end that is not quoted. The data begins with a row.

    A doubled quote inside a value opens and closes at once, so that parity alone tells.
    """
    view = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(view == _LINE_END)
    if b'"' in data:
        quotes = np.flatnonzero(view == _QUOTE)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return ends + 1


def lines(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _LINE_END))


class RowCut:
    """Takes bytes as they come and gives whole rows, up to the bounds (0 = none).

    `spent_bytes` = what the header took. Bytes that make no whole row yet are kept, at most
    `max_bytes` of them where that is set, else one row.
    """

    def __init__(self, max_rows: int = 0, max_bytes: int = 0, spent_bytes: int = 0) -> None:
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._bytes = spent_bytes
        self._rest = b""
        self.rows = 0
        self.truncated_by = ""

    def take(self, data: bytes) -> bytes:
        """Raises nothing; after `truncated_by` is set it gives no more."""
        if self.truncated_by:
            return b""
        if self._rest:
            data = self._rest + data
        count, size = self._whole(data)
        self._rest = data[size:]
        self.rows += count
        self._bytes += size
        self._require_room()
        return data[:size] if size < len(data) else data

    def _whole(self, data: bytes) -> tuple[int, int]:
        """How many rows of the data are whole and within the bounds, and their bytes."""
        if data.endswith(b"\n") and b'"' not in data:
            count = data.count(b"\n")
            if not self._over(count, len(data)):
                return count, len(data)
        ends = row_ends(data)
        if len(ends) and self._over(len(ends), int(ends[-1])):
            ends = self._cut(ends)
        return len(ends), int(ends[-1]) if len(ends) else 0

    def _over(self, rows: int, size: int) -> bool:
        too_many = self._max_rows and self.rows + rows > self._max_rows
        return bool(too_many or (self._max_bytes and self._bytes + size > self._max_bytes))

    def _cut(self, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        by_rows = self._max_rows - self.rows if self._max_rows else len(ends)
        room = self._max_bytes - self._bytes
        by_bytes = int(np.searchsorted(ends, room, "right")) if self._max_bytes else len(ends)
        few_rows = by_rows <= by_bytes
        self.truncated_by = rows_cut(self._max_rows) if few_rows else bytes_cut(self._max_bytes)
        return ends[: min(by_rows, by_bytes)]

    def _require_room(self) -> None:
        """A row that is too long for the room is not waited for."""
        if self._max_bytes and self._bytes + len(self._rest) > self._max_bytes:
            self.truncated_by = self.truncated_by or bytes_cut(self._max_bytes)
        if self.truncated_by:
            self._rest = b""
