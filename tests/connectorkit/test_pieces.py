"""What is framed by hand is what protobuf has, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectorkit.pieces import Piece, serialized
from connectorkit.tables import PIECE_BYTES
from isobath.connector.v1 import connector_pb2 as pb


@given(data=st.binary(max_size=300), size=st.integers(0, PIECE_BYTES))
@pytest.mark.req("P9")
def test_piece_is_serialized_as_protobuf_does(data: bytes, size: int) -> None:
    for each in (data, bytes(size)):
        wanted = pb.FetchResponse(piece=each).SerializeToString()
        assert serialized(Piece(each)) == serialized(Piece(memoryview(each))) == wanted


def test_other_events_are_protobufs_own() -> None:
    event = pb.FetchResponse(complete=pb.Complete(items=1, rows=2, bytes=3))
    assert serialized(event) == event.SerializeToString()
