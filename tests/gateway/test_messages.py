from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from services.gateway.messages import plain


def test_counts_are_numbers_and_enums_are_words() -> None:
    entry = connector.Entry(
        path="public.orders",
        kind=connector.ENTRY_KIND_TABLE,
        size_bytes=2**40,
        row_estimate=80_000,
        properties={"tier": "Hot"},
    )
    told = plain(entry)
    assert told == {
        "path": "public.orders",
        "kind": "table",
        "size_bytes": 2**40,
        "row_estimate": 80_000,
        "properties": {"tier": "Hot"},
    }


def test_messages_within_messages_and_lists_of_them() -> None:
    event = analyst.Event(
        sequence=7, block_opened=analyst.BlockOpened(kind=analyst.BLOCK_KIND_ANALYZE)
    )
    assert plain(event) == {"sequence": 7, "block_opened": {"kind": "analyze"}}
    found = connector.InspectResponse(columns=[connector.Column(name="id")])
    assert plain(found)["columns"] == [{"name": "id"}]


def test_what_is_unset_has_its_default_where_asked() -> None:
    told = plain(connector.Entry(path="a"), defaults=True)
    assert (told["kind"], told["comment"], told["properties"]) == ("unspecified", "", {})
    assert "size_bytes" not in told


def test_structs_and_durations_stay_as_json_has_them() -> None:
    schema = Struct()
    schema.update({"type": "object", "required": ["host"], "kind": {"size_bytes": 3}})
    described = connector.DescribeResponse(config_schema=schema)
    assert plain(described) == {
        "config_schema": {"type": "object", "required": ["host"], "kind": {"size_bytes": 3.0}}
    }
    checked = connector.CheckResponse(latency=Duration(nanos=5_000_000))
    assert plain(checked) == {"latency": "0.005s"}


def test_value_of_a_later_version_is_its_number() -> None:
    assert plain(connector.Entry(kind=99)) == {"kind": 99}  # type: ignore[arg-type]
