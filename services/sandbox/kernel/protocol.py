"""Frames between the kernel and the service: a pure codec, used by both ends.

A frame is `u32 length of what follows | u8 kind | u32 length of header | header (JSON) | payload`,
big-endian. Both lengths are capped, because the other end may be a program that nobody has read."""

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

_LENGTH = struct.Struct(">I")
_PREFIX = struct.Struct(">BI")

HEADER_LIMIT = 4 * 1024 * 1024
PAYLOAD_LIMIT = 16 * 1024 * 1024
_BODY_LIMIT = _PREFIX.size + HEADER_LIMIT + PAYLOAD_LIMIT


class Kind(IntEnum):
    # to the kernel
    BEGIN = 1  # limits and the workspace's place; before the first program
    EXECUTE = 2
    # from the kernel
    READY = 16
    BEGUN = 17
    STREAM = 18
    DISPLAY = 19
    FINISHED = 20
    # over a connection to the broker: asked by the kernel, answered from outside
    ASK = 32
    ANSWER = 33
    PIECE = 34
    END = 35
    FAILED = 36
    # the kernel's own pieces of an upload
    UPLOAD = 37


class ProtocolError(ValueError):
    """The other end does not keep to the protocol; nothing more can be read from it."""


@dataclass(frozen=True)
class Frame:
    kind: Kind
    header: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def encode(kind: Kind, header: dict[str, Any] | None = None, payload: bytes = b"") -> bytes:
    """Raises ProtocolError for what the other end would refuse."""
    text = json.dumps(header or {}, separators=(",", ":")).encode()
    if len(text) > HEADER_LIMIT or len(payload) > PAYLOAD_LIMIT:
        raise ProtocolError(f"a frame of {len(text)} + {len(payload)} bytes is over the limit")
    length = _PREFIX.size + len(text) + len(payload)
    return b"".join((_LENGTH.pack(length), _PREFIX.pack(kind, len(text)), text, payload))


class Decoder:
    """Bytes in, whole frames out, however they were split."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken = False

    @property
    def partial(self) -> bool:
        """A frame has begun and is not whole."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Raises ProtocolError, and does so for ever after."""
        if self._broken:
            raise ProtocolError("the stream broke before")
        self._buffer += data
        frames = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except ProtocolError:
            self._broken = True
            self._buffer.clear()
            raise
        return frames

    def _next(self) -> Frame | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not _PREFIX.size <= length <= _BODY_LIMIT:
            raise ProtocolError(f"a frame cannot be {length} bytes long")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[_LENGTH.size : end])
        del self._buffer[:end]
        return parse(body)


def parse(body: bytes) -> Frame:
    """A frame without its length. Raises ProtocolError."""
    kind, header_length = _PREFIX.unpack_from(body)
    start = _PREFIX.size + header_length
    if header_length > HEADER_LIMIT or start > len(body):
        raise ProtocolError(f"a header cannot be {header_length} bytes long")
    if len(body) - start > PAYLOAD_LIMIT:
        raise ProtocolError(f"a payload cannot be {len(body) - start} bytes long")
    return Frame(_kind(kind), _header(body[_PREFIX.size : start]), body[start:])


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise ProtocolError(f"no kind of frame has the number {number}") from None


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError("a header is not JSON") from exc
    if not isinstance(header, dict):
        raise ProtocolError("a header is not an object")
    return header
