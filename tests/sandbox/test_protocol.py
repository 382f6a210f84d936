"""The codec of frames, on every split of its input and on what a hostile end may send."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.kernel import protocol
from services.sandbox.kernel.protocol import Decoder, Frame, Kind, ProtocolError, encode

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
frames = st.builds(
    Frame,
    st.sampled_from(Kind),
    st.dictionaries(st.text(), values, max_size=4),
    st.binary(max_size=200),
)


def wire(sent: list[Frame]) -> bytes:
    return b"".join(encode(frame.kind, frame.header, frame.payload) for frame in sent)


@given(st.lists(frames, max_size=4), st.data())
def test_frames_arrive_whole_however_they_are_split(sent: list[Frame], data: st.DataObject) -> None:
    raw = wire(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder, got = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        got += decoder.feed(raw[start:end])
    assert got == sent
    assert not decoder.partial


def test_frame_split_at_every_byte() -> None:
    sent = [Frame(Kind.STREAM, {"text": "é"}, b"\x00\xff"), Frame(Kind.FINISHED, {}, b"")]
    raw = wire(sent)
    for cut in range(len(raw) + 1):
        decoder = Decoder()
        assert decoder.feed(raw[:cut]) + decoder.feed(raw[cut:]) == sent


def test_frame_cut_short_is_partial() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(Kind.READY)[:-1]) == []
    assert decoder.partial


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">I", 0),
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">IBI", 5, Kind.READY, 1),
        struct.pack(">IBI", 5, Kind.READY, 0xFFFFFFFF),
        struct.pack(">IBI", 5, 255, 0),
        struct.pack(">IBI", 7, Kind.READY, 2) + b"[]",
        struct.pack(">IBI", 6, Kind.READY, 1) + b"{",
        struct.pack(">IBI", 7, Kind.READY, 2) + b"\xff\xfe",
        struct.pack(">IBI", 5 + 100_000, Kind.READY, 100_000) + b"[" * 100_000,
    ],
)
def test_hostile_bytes_are_refused_for_good(raw: bytes) -> None:
    decoder = Decoder()
    with pytest.raises(ProtocolError):
        decoder.feed(raw)
    with pytest.raises(ProtocolError):
        decoder.feed(encode(Kind.READY))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        Decoder().feed(raw)


def test_payload_over_the_limit_is_refused_by_both_ends() -> None:
    big = b"x" * (protocol.PAYLOAD_LIMIT + 1)
    with pytest.raises(ProtocolError):
        encode(Kind.PIECE, {}, big)
    body = struct.pack(">BI", Kind.PIECE, 2) + b"{}" + big
    with pytest.raises(ProtocolError):
        protocol.parse(body)
