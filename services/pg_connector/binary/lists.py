"""Arrays as lists, those of several dimensions as lists of lists.

A value is three numbers of four bytes (dimensions, whether NULL is among the elements, their
type), for each dimension its size and first index, and the elements, each behind its length.
src/backend/utils/adt/arrayfuncs.c, array_send
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pg_connector.binary.cells import Cells
from services.pg_connector.binary.fields import Malformed, Places
from services.pg_connector.binary.numerics import Unfit
from services.pg_connector.values import other_dimensions

_SIZES_AT, _SIZE_BYTES = 12, 8
# Longer lists are walked one by one: most are short, and a step for all costs as much as one for a
# few thousand.
_STEPS = 64


def lists(cells: Cells, kind: pa.DataType, elements: Callable[[Cells], pa.Array]) -> pa.Array:
    """`kind` is nested as many times as the arrays have dimensions; `elements` reads the innermost.
    Raises Unfit, Malformed."""
    kinds = _nested(kind)
    dimensions = cells.numbers("i4")
    if cells.valid is not None:
        dimensions[~cells.valid] = 0
    if ((dimensions != len(kinds)) & (dimensions != 0)).any():
        raise Unfit(other_dimensions(kind))
    filled = np.flatnonzero(dimensions)
    some = cells.rows(filled)
    sizes, counts = _sizes(some, len(kinds))
    values = elements(_elements(some, counts[-1], _SIZES_AT + _SIZE_BYTES * len(kinds)))
    for place in range(len(kinds) - 1, 0, -1):
        offsets = _offsets(np.repeat(sizes[place], counts[place - 1]))
        buffers = [None, pa.py_buffer(offsets)]
        values = pa.Array.from_buffers(kinds[place], len(offsets) - 1, buffers, children=[values])
    outer = np.zeros(len(cells), np.int64)
    outer[filled] = sizes[0]
    buffers = [cells.valid_bits, pa.py_buffer(_offsets(outer))]
    return pa.Array.from_buffers(kind, len(cells), buffers, children=[values])


def _nested(kind: pa.DataType) -> list[pa.DataType]:
    kinds = [kind]
    while pa.types.is_list(kinds[-1].value_type):
        kinds.append(kinds[-1].value_type)
    return kinds


def _sizes(arrays: Cells, depth: int) -> tuple[list[Places], list[Places]]:
    """Of each dimension, and how many elements the dimensions up to it make."""
    head = _SIZES_AT + _SIZE_BYTES * depth
    sizes, counts = list[Places](), list[Places]()
    for place in range(depth):
        size = arrays.numbers("i4", _SIZES_AT + _SIZE_BYTES * place).astype(np.int64)
        count = size * counts[-1] if counts else size
        if (size < 0).any() or (head + 4 * count > arrays.lengths).any():
            raise Malformed("an array is shorter than its elements")
        sizes.append(size)
        counts.append(count)
    return sizes, counts


def _offsets(sizes: Places) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _elements(arrays: Cells, counts: Places, head: int) -> Cells:
    """Of all arrays, one after the other."""
    firsts = np.cumsum(counts) - counts
    starts = np.empty(int(counts.sum()), np.int64)
    lengths = np.empty_like(starts)
    ends = arrays.starts + arrays.lengths
    at, left = arrays.starts + head, counts.copy()
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
