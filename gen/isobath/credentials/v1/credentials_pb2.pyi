import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutSecretRequest(_message.Message):
    __slots__ = ("source_id", "owner", "fields", "clear", "expected_version", "source_type", "config")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    owner: str
    fields: _containers.ScalarMap[str, str]
    clear: _containers.RepeatedScalarFieldContainer[str]
    expected_version: int
    source_type: str
    config: _struct_pb2.Struct
    def __init__(self, source_id: _Optional[str] = ..., owner: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ..., clear: _Optional[_Iterable[str]] = ..., expected_version: _Optional[int] = ..., source_type: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PutSecretResponse(_message.Message):
    __slots__ = ("version", "fields_set")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_SET_FIELD_NUMBER: _ClassVar[int]
    version: int
    fields_set: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., fields_set: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteSecretRequest(_message.Message):
    __slots__ = ("source_id",)
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    def __init__(self, source_id: _Optional[str] = ...) -> None: ...

class DeleteSecretResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class DescribeSecretRequest(_message.Message):
    __slots__ = ("source_id",)
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    def __init__(self, source_id: _Optional[str] = ...) -> None: ...

class DescribeSecretResponse(_message.Message):
    __slots__ = ("version", "fields_set", "updated_at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_SET_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    version: int
    fields_set: _containers.RepeatedScalarFieldContainer[str]
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[int] = ..., fields_set: _Optional[_Iterable[str]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MintGrantRequest(_message.Message):
    __slots__ = ("owner", "caller", "source_id", "source_type", "source_version", "config", "operations", "scopes", "max_rows", "max_bytes", "max_time", "run_id", "thread_id", "lifetime")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    owner: str
    caller: str
    source_id: str
    source_type: str
    source_version: int
    config: _struct_pb2.Struct
    operations: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    max_rows: int
    max_bytes: int
    max_time: _duration_pb2.Duration
    run_id: str
    thread_id: str
    lifetime: _duration_pb2.Duration
    def __init__(self, owner: _Optional[str] = ..., caller: _Optional[str] = ..., source_id: _Optional[str] = ..., source_type: _Optional[str] = ..., source_version: _Optional[int] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., operations: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., max_rows: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class MintGrantResponse(_message.Message):
    __slots__ = ("grant", "grant_id", "expires_at")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    grant: str
    grant_id: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, grant: _Optional[str] = ..., grant_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NarrowGrantRequest(_message.Message):
    __slots__ = ("grant", "operations", "scopes", "max_rows", "max_bytes", "max_time", "lifetime")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TIME_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    grant: str
    operations: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    max_rows: int
    max_bytes: int
    max_time: _duration_pb2.Duration
    lifetime: _duration_pb2.Duration
    def __init__(self, grant: _Optional[str] = ..., operations: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., max_rows: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class NarrowGrantResponse(_message.Message):
    __slots__ = ("grant", "grant_id", "expires_at")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    grant: str
    grant_id: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, grant: _Optional[str] = ..., grant_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListDeclaredSourcesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDeclaredSourcesResponse(_message.Message):
    __slots__ = ("sources",)
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[DeclaredSource]
    def __init__(self, sources: _Optional[_Iterable[_Union[DeclaredSource, _Mapping]]] = ...) -> None: ...

class DeclaredSource(_message.Message):
    __slots__ = ("source_id", "owner", "name", "type", "description", "config", "secrets_set", "version", "line")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SECRETS_SET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    owner: str
    name: str
    type: str
    description: str
    config: _struct_pb2.Struct
    secrets_set: _containers.RepeatedScalarFieldContainer[str]
    version: int
    line: int
    def __init__(self, source_id: _Optional[str] = ..., owner: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ..., description: _Optional[str] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., secrets_set: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., line: _Optional[int] = ...) -> None: ...

class RedeemGrantRequest(_message.Message):
    __slots__ = ("grant",)
    GRANT_FIELD_NUMBER: _ClassVar[int]
    grant: str
    def __init__(self, grant: _Optional[str] = ...) -> None: ...

class RedeemGrantResponse(_message.Message):
    __slots__ = ("fields", "lease_expires_at", "renew_after", "credentials_expire_at")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    RENEW_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_EXPIRE_AT_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.ScalarMap[str, str]
    lease_expires_at: _timestamp_pb2.Timestamp
    renew_after: _timestamp_pb2.Timestamp
    credentials_expire_at: _timestamp_pb2.Timestamp
    def __init__(self, fields: _Optional[_Mapping[str, str]] = ..., lease_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., renew_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., credentials_expire_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SpendGrantRequest(_message.Message):
    __slots__ = ("grant", "rows", "bytes", "unused_rows", "unused_bytes")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    UNUSED_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_BYTES_FIELD_NUMBER: _ClassVar[int]
    grant: str
    rows: int
    bytes: int
    unused_rows: int
    unused_bytes: int
    def __init__(self, grant: _Optional[str] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ..., unused_rows: _Optional[int] = ..., unused_bytes: _Optional[int] = ...) -> None: ...

class SpendGrantResponse(_message.Message):
    __slots__ = ("rows", "bytes")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    bytes: int
    def __init__(self, rows: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class RevokeGrantRequest(_message.Message):
    __slots__ = ("grant_id", "source_id", "run_id", "owner", "cause")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    source_id: str
    run_id: str
    owner: str
    cause: str
    def __init__(self, grant_id: _Optional[str] = ..., source_id: _Optional[str] = ..., run_id: _Optional[str] = ..., owner: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class RevokeGrantResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRevocationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRevocationsResponse(_message.Message):
    __slots__ = ("revocation", "caught_up", "heartbeat")
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    revocation: Revocation
    caught_up: CaughtUp
    heartbeat: Heartbeat
    def __init__(self, revocation: _Optional[_Union[Revocation, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("grant_id", "source_id", "run_id", "owner", "at")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    source_id: str
    run_id: str
    owner: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, grant_id: _Optional[str] = ..., source_id: _Optional[str] = ..., run_id: _Optional[str] = ..., owner: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GrantKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GrantKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[GrantKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[GrantKey, _Mapping]]] = ...) -> None: ...

class GrantKey(_message.Message):
    __slots__ = ("key_id", "public_key", "not_after")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    public_key: bytes
    not_after: _timestamp_pb2.Timestamp
    def __init__(self, key_id: _Optional[str] = ..., public_key: _Optional[bytes] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RotateKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateKeysResponse(_message.Message):
    __slots__ = ("key_id", "secrets_reencrypted")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SECRETS_REENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    secrets_reencrypted: int
    def __init__(self, key_id: _Optional[str] = ..., secrets_reencrypted: _Optional[int] = ...) -> None: ...

class ReadModelKeyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadModelKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...
