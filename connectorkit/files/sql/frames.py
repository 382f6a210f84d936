"""What the connector and a query's process say to each other: a length, a kind, a body. Pure.

Two sockets: on `TALK` the connector gives work and the process answers; on `RANGES` the process
asks for ranges of the files that its work names, and gets bytes. Bodies are JSON but for those of
SCHEMA, BATCH and BYTES.
"""

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

HEAD = struct.Struct("<IB")
# file, offset, length, number of the question
RANGE = struct.Struct("<IQII")
# number of the question
ANSWER = struct.Struct("<I")
# one range that is asked for
MOST_RANGE_BYTES = 4 * 1024 * 1024
# one batch of rows, or what a statement parses to
MOST_FRAME_BYTES = 256 * 1024 * 1024


class Kind(IntEnum):
    # to the process
    START = 1
    PARSE = 2
    RUN = 3
    BYTES = 4
    LOST = 5
    # from it
    READY = 16
    PARSED = 17
    SCHEMA = 18
    BATCH = 19
    DONE = 20
    FAILED = 21
    RANGE = 22


class Broken(Exception):
    """What came is no frame."""


def packed(kind: Kind, body: bytes = b"") -> bytes:
    return HEAD.pack(len(body), kind) + body


def told(kind: Kind, **body: Any) -> bytes:
    return packed(kind, json.dumps(body).encode())


def head(data: bytes) -> tuple[int, Kind]:
    """Length of the body, and kind. Raises `Broken`."""
    size, kind = HEAD.unpack(data)
    if size > MOST_FRAME_BYTES:
        raise Broken(f"a frame of {size} bytes")
    try:
        return size, Kind(kind)
    except ValueError as exc:
        raise Broken(f"a frame of kind {kind}") from exc


def read(body: bytes) -> Mapping[str, Any]:
    """Raises `Broken`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Broken("a frame that is no JSON") from exc
    if not isinstance(found, dict):
        raise Broken("a frame that is no object")
    return found
