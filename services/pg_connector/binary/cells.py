"""One column's fields: which are NULL, and their bytes gathered into Arrow's buffers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pg_connector.binary import kernel
from services.pg_connector.binary.fields import Bytes, Fields, Places, too_short

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

# longer than any field
_NO_ROWS = 1 << 62


class Cells:
    """`starts` and `lengths` in `data`, one for each row; a length of -1 = NULL. `valid` is None
    where nothing is NULL."""

    def __init__(self, data: Bytes, starts: Places, lengths: Places) -> None:
        self.data, self.starts, self.lengths = data, starts, lengths
        self._shortest = int(lengths.min(initial=_NO_ROWS))
        self.valid: Flags | None = None
        if self._shortest < 0:
            self.valid = lengths >= 0
            self._shortest = int(lengths[self.valid].min(initial=_NO_ROWS))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def valid_bits(self) -> pa.Buffer | None:
        """As Arrow has it."""
        return None if self.valid is None else bits(self.valid)

    def numbers(self, kind: str, at: int = 0) -> Numbers:
        """Of a type such as "i4", `at` bytes behind each start; any number for NULL.
        Raises Malformed where a field is too short."""
        wire = np.dtype(kind).newbyteorder(">")
        self.require(at + wire.itemsize)
        if kernel.KERNEL is not None:
            values = np.empty(len(self), kind)
            kernel.KERNEL.numbers(self.data, self.starts, self.lengths, at, values)
            return values
        places = self._places(at)
        if places is None:
            return np.zeros(len(self), kind)
        view = np.ndarray((len(self.data) - wire.itemsize + 1,), wire, self.data, strides=(1,))
        return view[places].astype(kind)

    def require(self, size: int) -> None:
        """Raises Malformed where a field has fewer bytes."""
        if self._shortest < size:
            raise too_short()

    def _places(self, at: int) -> Places | None:
        """Where to read; for NULL where some other is. None where all are NULL."""
        if self._shortest == _NO_ROWS:
            return None
        places = self.starts + at if at else self.starts
        if self.valid is not None:
            places = np.where(self.valid, places, places[np.argmax(self.valid)])
        return places

    def rows(self, chosen: Places) -> "Cells":
        return Cells(self.data, self.starts[chosen], self.lengths[chosen])

    def behind(self, size: int) -> "Cells":
        """The same without the first bytes of each."""
        self.require(size)
        lengths = np.where(self.lengths < 0, self.lengths, self.lengths - size)
        return Cells(self.data, self.starts + size, lengths)


def cells_of(fields: Fields) -> Iterator[Cells]:
    """Of each column."""
    for starts, lengths in zip(fields.starts, fields.lengths, strict=True):
        yield Cells(fields.data, starts, lengths)


def bits(flags: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def numbers_array(cells: Cells, kind: pa.DataType, values: Numbers) -> pa.Array:
    """The values are as wide as Arrow has them."""
    buffers = [cells.valid_bits, pa.py_buffer(values)]
    return pa.Array.from_buffers(kind, len(cells), buffers)


def bytes_array(cells: Cells, kind: pa.DataType) -> pa.Array:
    """binary or string."""
    if not len(cells):
        return pa.array([], kind)
    if kernel.KERNEL is not None:
        joined = kernel.KERNEL.joined(cells.data, cells.starts, cells.lengths)
        offsets, data = map(pa.py_buffer, joined)
    else:
        offsets, data = _taken(cells)
    return pa.Array.from_buffers(kind, len(cells), [cells.valid_bits, offsets, data])


def _taken(cells: Cells) -> tuple[pa.Buffer, pa.Buffer]:
    """Offsets and bytes, copied value by value by Arrow itself: the fields and the gaps between
    them are taken for the values of one array, and every other one is wanted."""
    count = len(cells)
    ends = cells.starts + np.maximum(cells.lengths, 0)
    offsets = np.empty(2 * count, np.int32)
    # places fit: the server sends no row of 1 GiB or more, and pieces are smaller by far
    offsets[0::2], offsets[1::2] = cells.starts, ends
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(cells.data)]
    both = pa.Array.from_buffers(pa.binary(), 2 * count - 1, buffers)
    # not pa.array, which would import pandas where it is installed: 40 MB
    every_other = pa.py_buffer(np.arange(0, 2 * count, 2))
    wanted = pa.Array.from_buffers(pa.int64(), count, [None, every_other])
    _, offsets_taken, data = both.take(wanted).buffers()
    return offsets_taken, data
