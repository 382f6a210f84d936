"""The loops of kernel.c, where they were compiled when this package was built (`hatch_build.py`).

Nothing depends on that: where there was no compiler KERNEL is None, and numpy does the same, taking
three to five times as long.
"""

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.pg_connector.binary.fields import (
    Bytes,
    Fields,
    Places,
    Walk,
    bad_length,
    other_fields,
)

LIBRARY = Path(__file__).with_name("libkernel.so")
# as kernel.c has them
_MALFORMED = {1: other_fields, 2: bad_length}
FITS, UNFIT, NOT_A_NUMBER, ENDLESS, TOO_SHORT = range(5)

_int32, _int64, _address = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_FIELDS = (_address, _address, _address, _int64)


class Kernel:
    """Python's lock is not held while one of these works. Fields are to lie within `data`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._walk, self._numbers = library.walk, library.numbers
        self._joined, self._decimals = library.joined, library.decimals
        self._walk.argtypes = (
            *(ctypes.c_char_p, _int64, _int64, _int32),
            *(_int64, _address, _address, _address),
        )
        self._walk.restype = self._decimals.restype = _int32
        self._numbers.argtypes = (*_FIELDS, _int64, _int32, _address)
        self._joined.argtypes = (*_FIELDS, _address, _address)
        self._decimals.argtypes = (*_FIELDS, _int32, _int32, _address)
        self._numbers.restype = self._joined.restype = None

    def walk(self, data: bytes, begin: int, columns: int) -> Walk:
        """Raises Malformed."""
        found = np.empty(3, np.int64)
        where = data, len(data), begin, columns
        if status := self._walk(*where, 0, None, None, found.ctypes.data):
            raise _MALFORMED[status]()
        rows, end, wanted = found.tolist()
        starts, lengths = np.empty((2, columns, rows), np.int64)
        self._walk(*where, rows, starts.ctypes.data, lengths.ctypes.data, found.ctypes.data)
        return Walk(Fields(np.frombuffer(data, np.uint8), starts, lengths), end, wanted)

    def numbers(
        self, data: Bytes, starts: Places, lengths: Places, at: int, out: npt.NDArray[np.generic]
    ) -> None:
        """Big-endian numbers, `at` bytes behind each start, as wide as those of `out`; 0 for NULL.
        No field may be too short."""
        self._numbers(*_of(data, starts, lengths), at, out.itemsize, out.ctypes.data)

    def joined(
        self, data: Bytes, starts: Places, lengths: Places
    ) -> tuple[npt.NDArray[np.int32], Bytes]:
        """Where each field begins and the last ends, and their bytes."""
        offsets = np.empty(len(starts) + 1, np.int32)
        out = np.empty(int(np.maximum(lengths, 0).sum()), np.uint8)
        self._joined(*_of(data, starts, lengths), offsets.ctypes.data, out.ctypes.data)
        return offsets, out

    def decimals(
        self, data: Bytes, starts: Places, lengths: Places, precision: int, scale: int
    ) -> tuple[int, Places]:
        """Two words for each, of up to 38 digits. What one is that does not fit, or FITS."""
        out = np.empty((len(starts), 2), np.int64)
        fields = _of(data, starts, lengths)
        return self._decimals(*fields, precision, scale, out.ctypes.data), out


def _of(data: Bytes, starts: Places, lengths: Places) -> tuple[int, int, int, int]:
    assert starts.flags.c_contiguous and lengths.flags.c_contiguous
    return data.ctypes.data, starts.ctypes.data, lengths.ctypes.data, len(starts)


def _loaded() -> Kernel | None:
    try:
        return Kernel(ctypes.CDLL(str(LIBRARY)))
    except OSError:
        return None


KERNEL = _loaded()
