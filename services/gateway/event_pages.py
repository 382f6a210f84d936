"""Events that follow one another as one value of the database: a row for each costs more than all
else that is done for an event. Pure."""

import struct
from collections.abc import Iterator, Sequence

from isobath.analyst.v1 import analyst_pb2 as analyst

# of one value, so that who asks for one event does not read a whole run
MAX_EVENTS = 64
_LENGTH = struct.Struct(">I")


def cut(events: Sequence[analyst.Event]) -> Iterator[Sequence[analyst.Event]]:
    """In pieces that fit."""
    for start in range(0, len(events), MAX_EVENTS):
        yield events[start : start + MAX_EVENTS]


def packed(events: Sequence[analyst.Event]) -> bytes:
    """One event as it is, several each behind its length."""
    if len(events) == 1:
        return events[0].SerializeToString()
    parts = [event.SerializeToString() for event in events]
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def unpacked(size: int, data: bytes) -> Iterator[analyst.Event]:
    """What was packed."""
    if size == 1:
        yield analyst.Event.FromString(data)
        return
    at = 0
    for _ in range(size):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield analyst.Event.FromString(data[at : at + length])
        at += length
