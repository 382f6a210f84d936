import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchCallsRequest(_message.Message):
    __slots__ = ("carrier",)
    CARRIER_FIELD_NUMBER: _ClassVar[int]
    carrier: str
    def __init__(self, carrier: _Optional[str] = ...) -> None: ...

class WatchCallsResponse(_message.Message):
    __slots__ = ("call_id", "source_type", "method", "timeout")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    source_type: str
    method: str
    timeout: _duration_pb2.Duration
    def __init__(self, call_id: _Optional[str] = ..., source_type: _Optional[str] = ..., method: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CarryCallRequest(_message.Message):
    __slots__ = ("call_id", "message", "ended")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    message: bytes
    ended: CallEnd
    def __init__(self, call_id: _Optional[str] = ..., message: _Optional[bytes] = ..., ended: _Optional[_Union[CallEnd, _Mapping]] = ...) -> None: ...

class CallEnd(_message.Message):
    __slots__ = ("code", "status")
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    code: int
    status: bytes
    def __init__(self, code: _Optional[int] = ..., status: _Optional[bytes] = ...) -> None: ...

class CarryCallResponse(_message.Message):
    __slots__ = ("message", "half_close")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    half_close: bool
    def __init__(self, message: _Optional[bytes] = ..., half_close: _Optional[bool] = ...) -> None: ...
