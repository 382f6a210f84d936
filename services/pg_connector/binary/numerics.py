"""numeric as decimal128 and decimal256.

A value is four numbers of two bytes each, then its digits to the base 10,000: how many of them,
the weight of the first (the power of 10,000 that it stands for), sign, scale for display.
src/backend/utils/adt/numeric.c, numeric_send
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from services.pg_connector.binary import kernel
from services.pg_connector.binary.cells import Cells, Numbers, numbers_array
from services.pg_connector.binary.fields import too_short
from services.pg_connector.values import not_a_number

_BASE_DIGITS = 4
_BASE = 10**_BASE_DIGITS
_HEAD_BYTES = 8
_POSITIVE, _NEGATIVE, _NAN = 0x0000, 0x4000, 0xC000
_INT64_DIGITS = 18
_LIMB_BITS = 32


class Unfit(ValueError):
    """The type does not hold the value; the text says why."""


def _unfit(kind: pa.DataType) -> Exception:
    return Unfit(f"it is no {kind}")


def _not_a_number(kind: pa.DataType) -> Exception:
    return Unfit(not_a_number(kind))


def _endless(_: pa.DataType) -> Exception:
    return Unfit("it is infinity")


def _too_short(_: pa.DataType) -> Exception:
    return too_short()


_FAULTS = {
    kernel.UNFIT: _unfit,
    kernel.NOT_A_NUMBER: _not_a_number,
    kernel.ENDLESS: _endless,
    kernel.TOO_SHORT: _too_short,
}


def decimals(cells: Cells, kind: pa.DataType) -> pa.Array:
    """Exact. Raises Unfit, Malformed."""
    compiled = kernel.KERNEL if pa.types.is_decimal128(kind) else None
    values = _by_steps(cells, kind) if compiled is None else _compiled(compiled, cells, kind)
    return numbers_array(cells, kind, values)


def _compiled(compiled: kernel.Kernel, cells: Cells, kind: pa.DataType) -> Numbers:
    status, values = compiled.decimals(
        cells.data, cells.starts, cells.lengths, kind.precision, kind.scale
    )
    if status != kernel.FITS:
        raise _FAULTS[status](kind)
    return values


def _by_steps(cells: Cells, kind: pa.DataType) -> Numbers:
    cells.require(_HEAD_BYTES)
    sign = cells.numbers("u2", 4)
    if cells.valid is not None:
        sign[~cells.valid] = _POSITIVE
    if ((sign != _POSITIVE) & (sign != _NEGATIVE)).any():
        endless = (sign != _NEGATIVE) & (sign > _NAN)
        raise (_endless if endless.any() else _not_a_number)(kind)
    steps = list(_steps(cells, kind))
    if kind.precision <= _INT64_DIGITS:
        return _narrow(steps, sign == _NEGATIVE, kind.bit_width // 64)
    return _wide(steps, sign == _NEGATIVE, kind.bit_width // _LIMB_BITS)


def _steps(cells: Cells, kind: pa.DataType) -> Iterator[tuple[int, Numbers]]:
    """What the sum so far is to be multiplied by, and what is to be added: the digits from the
    highest that the type has to the lowest."""
    count, weight = cells.numbers("i2").astype(np.int64), cells.numbers("i2", 2).astype(np.int64)
    if cells.valid is not None:
        count[~cells.valid] = 0
    if (cells.lengths < _HEAD_BYTES + 2 * count)[count > 0].any():
        raise _unfit(kind)
    before, behind = kind.precision - kind.scale, kind.scale
    highest, lowest = -(-before // _BASE_DIGITS) - 1, -(-behind // _BASE_DIGITS)
    if ((weight > highest) & (count > 0)).any() or (count - 1 - weight > lowest)[count > 0].any():
        raise _unfit(kind)
    view = np.ndarray((max(1, len(cells.data) - 1),), ">u2", cells.data, strides=(1,))
    for place in range(highest, -lowest - 1, -1):
        index = weight - place
        here = (index >= 0) & (index < count)
        where = np.where(here, cells.starts + _HEAD_BYTES + 2 * index, 0)
        digit = np.where(here, view[where], 0).astype(np.int64)
        yield _step(digit, place, kind)


def _step(digit: Numbers, place: int, kind: pa.DataType) -> tuple[int, Numbers]:
    """The first place may have fewer than four decimals of the type, and so may the last."""
    above = kind.precision - kind.scale - _BASE_DIGITS * place
    beyond = -place * _BASE_DIGITS - kind.scale if place < 0 else 0
    cut = 10 ** max(0, beyond)
    limit = 10 ** min(above, _BASE_DIGITS) if place >= 0 else _BASE
    if (digit >= limit).any() or (digit % cut).any():
        raise _unfit(kind)
    return _BASE // cut, digit // cut


def _narrow(steps: list[tuple[int, Numbers]], negative: Numbers, words: int) -> Numbers:
    """In one number of 64 bits each, widened at the end."""
    total = np.zeros(len(negative), np.int64)
    for factor, digit in steps:
        total = total * factor + digit
    total[negative] *= -1
    values = np.empty((len(total), words), np.int64)
    values[:, 0] = total
    values[:, 1:] = (total >> 63)[:, None]
    return values


def _wide(steps: list[tuple[int, Numbers]], negative: Numbers, limbs: int) -> Numbers:
    """In numbers of 32 bits each, the lowest first, so that a product fits into 64."""
    total = np.zeros((limbs, len(negative)), np.uint64)
    for factor, digit in steps:
        carry = digit.astype(np.uint64)
        for limb in total:
            limb *= np.uint64(factor)
            limb += carry
            carry = limb >> np.uint64(_LIMB_BITS)
            limb &= np.uint64(2**_LIMB_BITS - 1)
    values = total.astype(np.uint32)
    carry = negative.copy()
    for word in values:
        word[negative] ^= np.uint32(2**_LIMB_BITS - 1)
        word += carry
        carry &= word == 0
    return np.ascontiguousarray(values.T)
