"""Arrays of one dimension as lists.

A value is three numbers of four bytes (dimensions, whether NULL is among the elements, their
type), for each dimension its size and first index, and the elements, each behind its length.
src/backend/utils/adt/arrayfuncs.c, array_send
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from services.pg_connector.binary.cells import Cells
from services.pg_connector.binary.framing import Malformed, Places
from services.pg_connector.binary.numerics import Unfit
from services.pg_connector.values import many_dimensions

_SIZE_AT, _HEAD_BYTES = 12, 20
# Longer lists are walked one by one: most are short, and a step for all costs as much as one for a
# few thousand.
_STEPS = 64


def lists(cells: Cells, kind: pa.DataType, elements: Callable[[Cells], pa.Array]) -> pa.Array:
    """Raises Unfit, Malformed."""
    dimensions = cells.numbers("i4")
    if cells.valid is not None:
        dimensions[~cells.valid] = 0
    if (dimensions > 1).any():
        raise Unfit(many_dimensions(kind))
    filled = np.flatnonzero(dimensions == 1)
    some = cells.rows(filled)
    counts = some.numbers("i4", _SIZE_AT).astype(np.int64)
    if (counts < 0).any() or (_HEAD_BYTES + 4 * counts > some.lengths).any():
        raise Malformed("an array is shorter than its elements")
    sizes = np.zeros(len(cells), np.int64)
    sizes[filled] = counts
    offsets = np.zeros(len(cells) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    values = elements(_elements(some, counts))
    buffers = [cells.valid_bits, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(kind, len(cells), buffers, children=[values])


def _elements(arrays: Cells, counts: Places) -> Cells:
    """Of all arrays, one after the other."""
    firsts = np.cumsum(counts) - counts
    starts = np.empty(int(counts.sum()), np.int64)
    lengths = np.empty_like(starts)
    ends = arrays.starts + arrays.lengths
    at, left = arrays.starts + _HEAD_BYTES, counts.copy()
    active = np.flatnonzero(left)
    for step in range(_STEPS):
        if not len(active):
            break
        length = _length(arrays, at[active], ends[active])
        place = firsts[active] + step
        starts[place], lengths[place] = at[active] + 4, length
        at[active] += 4 + np.maximum(length, 0)
        left[active] -= 1
        active = active[left[active] > 0]
    for row in active.tolist():
        first = int(firsts[row]) + _STEPS
        _walk(arrays, int(at[row]), int(ends[row]), starts[first:], lengths[first:], int(left[row]))
    return Cells(arrays.data, starts, lengths)


def _length(arrays: Cells, at: Places, ends: Places) -> Places:
    if (at + 4 > ends).any():
        raise Malformed("an array is shorter than its elements")
    view = np.ndarray((len(arrays.data) - 3,), ">i4", arrays.data, strides=(1,))
    length = view[at].astype(np.int64)
    if (length < -1).any() or (at + 4 + length > ends).any():
        raise Malformed("an element is longer than its array")
    return length


def _walk(arrays: Cells, at: int, end: int, starts: Places, lengths: Places, count: int) -> None:
    """One array's elements from the one at that place on."""
    data = arrays.data[:end].data
    for number in range(count):
        length = int.from_bytes(data[at : at + 4], "big", signed=True)
        if length < -1 or at + 4 + length > end:
            raise Malformed("an element is longer than its array")
        starts[number], lengths[number] = at + 4, length
        at += 4 + max(length, 0)
