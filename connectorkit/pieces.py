"""The bytes of Fetch on the wire, copied once.

protobuf copies a piece into the message and again out of it, which takes several times as long as
to send it. The bytes that go out are the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from isobath.connector.v1 import connector_pb2 as pb

# field 2 of FetchResponse, of wire type 2: a length, then so many bytes
_TAG = bytes([pb.FetchResponse.PIECE_FIELD_NUMBER << 3 | 2])


@dataclass(frozen=True, slots=True)
class Piece:
    """FetchResponse(piece=…); what `piece` is a view of must not change until it is sent."""

    piece: bytes | memoryview


Event = pb.FetchResponse | Piece


def serialized(event: Event) -> bytes:
    """The event as protobuf has it."""
    if isinstance(event, Piece):
        return b"".join((_TAG, _varint(len(event.piece)), event.piece))
    return event.SerializeToString()


# for `Server.register`
SERIALIZERS: Mapping[str, Callable[[Event], bytes]] = {"Fetch": serialized}


def _varint(number: int) -> bytes:
    """Base 128, the lowest seven bits first, as protobuf's "Encoding" has it."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
