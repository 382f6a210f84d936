"""Fields of whole rows, as places in their bytes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.pg_connector.errors import PgFault

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class Malformed(PgFault):
    """The bytes are not what the server writes."""


@dataclass(frozen=True)
class Fields:
    """Rows that are whole. `starts` and `lengths` have one row for each column and one column for
    each row: where a field's bytes begin in `data`, and how many they are, -1 for NULL."""

    data: Bytes
    starts: Places
    lengths: Places

    def __len__(self) -> int:
        return int(self.starts.shape[1])


@dataclass(frozen=True)
class Walk:
    """What a walk over bytes found, where the last whole row ends in them, and how long they must
    be, at least, for the next."""

    fields: Fields
    end: int
    wanted: int


def other_fields() -> Malformed:
    return Malformed("a row with other fields than the query has")


def bad_length() -> Malformed:
    return Malformed("a field of less than no bytes")


def too_short() -> Malformed:
    return Malformed("a field is shorter than its type")
