from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from servicekit.status import (
    DETAILS_KEY,
    OWN_STATUSES,
    Fault,
    RemoteFault,
    Status,
    StatusTable,
    cut,
    decode,
    encode,
    outcome,
)


class Coarse(Fault):
    remedy = "Do otherwise."


class Fine(Coarse):
    def metadata(self) -> dict[str, str]:
        return {"sqlstate": "42P01"}


TABLE: StatusTable = {
    Coarse: Status(grpc.StatusCode.ABORTED, "CONFLICT"),
    Fine: Status(grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND"),
}


class Failure(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, trailing: tuple[tuple[str, bytes], ...] = ()):
        self._code, self._trailing = code, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> Any:
        return self._trailing


def through_the_wire(error: Exception) -> RemoteFault:
    shown = outcome(error, TABLE, "req-1")
    wire = encode(shown, "req-1").SerializeToString()
    return decode(Failure(shown.code, ((DETAILS_KEY, wire),)))


@pytest.mark.req("S6")
def test_status_of_subclass_most_specific_class_wins():
    class Finest(Fine):
        pass

    assert outcome(Finest("x"), TABLE, "r").reason == "PATH_NOT_FOUND"
    assert outcome(Coarse("x"), TABLE, "r").reason == "CONFLICT"


@pytest.mark.req("S6")
def test_fault_round_trip_keeps_code_reason_message_remedy_fields_and_retry():
    fault = through_the_wire(Fine("no such table", retry_after_s=2.25))
    assert fault.code is grpc.StatusCode.NOT_FOUND
    assert fault.reason == "PATH_NOT_FOUND"
    assert fault.message == "no such table"
    assert fault.remedy == "Do otherwise."
    assert dict(fault.fields) == {"sqlstate": "42P01", "request_id": "req-1"}
    assert fault.retry_after_s == 2.25


def test_remote_fault_that_escapes_is_passed_on_as_it_came():
    first = through_the_wire(Fine("no such table"))
    second = through_the_wire(first)
    assert (second.code, second.reason, second.message, second.remedy) == (
        first.code,
        first.reason,
        first.message,
        first.remedy,
    )


@pytest.mark.req("S6")
@pytest.mark.parametrize("error", [ValueError("inner"), Fault("inner"), RuntimeError("inner")])
def test_unforeseen_error_shows_only_the_request_id(error: Exception):
    shown = outcome(error, TABLE, "req-9")
    assert shown.code is grpc.StatusCode.INTERNAL
    assert shown.message == "internal error; request id req-9"
    assert not shown.known and not shown.fields


def test_mapped_foreign_error_does_not_show_its_text():
    shown = outcome(
        KeyError("inner"), {LookupError: Status(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")}, "r"
    )
    assert shown.message == "not found"


def test_detail_of_a_fault_is_for_the_log_only():
    fault = Fine("no such table", "host db-7 said 42P01")
    assert "db-7" in str(fault)
    assert "db-7" not in through_the_wire(fault).message


def test_encoded_status_stays_within_the_metadata_limit():
    fault = Fine("ü" * 9_000, remedy="é" * 90_000)
    status = encode(outcome(fault, TABLE, "r" * 128), "r" * 128)
    percent_encoded = 3 * len(status.message.encode())
    assert status.ByteSize() + percent_encoded < 8 * 1024


def test_long_field_is_cut_before_short_ones():
    class Wide(Coarse):
        def metadata(self) -> dict[str, str]:
            return {"line": "x" * 50_000, "position": "17"}

    fault = through_the_wire(Wide("m"))
    assert fault.fields["position"] == "17"
    assert fault.remedy == "Do otherwise."
    assert fault.fields["line"].startswith("xxx") and fault.fields["line"].endswith("…")


@pytest.mark.parametrize("limit", range(3, 12))
def test_cut_never_splits_a_character(limit: int):
    assert len(cut("añ漢🎈z", limit).encode()) <= max(limit, 3)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_decode_bare_status_never_raises(code: grpc.StatusCode):
    fault = decode(Failure(code))
    assert fault.code is code and fault.reason and fault.message


@pytest.mark.parametrize(
    "trailing",
    [
        b"\xff\xff not protobuf",
        status_pb2.Status(details=[any_pb2.Any(type_url="x/y", value=b"\xff")]).SerializeToString(),
        status_pb2.Status(
            details=[
                any_pb2.Any(
                    type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff"
                )
            ]
        ).SerializeToString(),
    ],
)
def test_decode_damaged_details_falls_back_to_the_code(trailing: bytes):
    fault = decode(Failure(grpc.StatusCode.UNAVAILABLE, ((DETAILS_KEY, trailing),)))
    assert fault.reason == "SERVICE_UNAVAILABLE"


def test_decode_details_of_another_domain_are_not_ours():
    status = status_pb2.Status(message="theirs")
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain="example.org", reason="X"))
    wire = ((DETAILS_KEY, status.SerializeToString()),)
    assert decode(Failure(grpc.StatusCode.INTERNAL, wire)).reason == "INTERNAL"


def test_decode_error_without_code_is_unknown():
    assert decode(grpc.RpcError()).code is grpc.StatusCode.UNKNOWN


def test_own_faults_use_reasons_of_the_contract():
    from isobath.errors.v1 import errors_pb2

    reasons = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert {status.reason for status in OWN_STATUSES.values()} <= reasons
