import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORMAT_UNSPECIFIED: _ClassVar[Format]
    FORMAT_CSV: _ClassVar[Format]
    FORMAT_PARQUET: _ClassVar[Format]
    FORMAT_ARROW: _ClassVar[Format]
    FORMAT_RAW: _ClassVar[Format]
    FORMAT_UNPACKED: _ClassVar[Format]

class Include(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INCLUDE_UNSPECIFIED: _ClassVar[Include]
    INCLUDE_SNAPSHOTS: _ClassVar[Include]
    INCLUDE_VERSIONS: _ClassVar[Include]
    INCLUDE_DELETED: _ClassVar[Include]
    INCLUDE_TAGS: _ClassVar[Include]

class EntryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_KIND_UNSPECIFIED: _ClassVar[EntryKind]
    ENTRY_KIND_SCHEMA: _ClassVar[EntryKind]
    ENTRY_KIND_TABLE: _ClassVar[EntryKind]
    ENTRY_KIND_VIEW: _ClassVar[EntryKind]
    ENTRY_KIND_MATERIALIZED_VIEW: _ClassVar[EntryKind]
    ENTRY_KIND_PARTITIONED_TABLE: _ClassVar[EntryKind]
    ENTRY_KIND_FOREIGN_TABLE: _ClassVar[EntryKind]
    ENTRY_KIND_PREFIX: _ClassVar[EntryKind]
    ENTRY_KIND_BLOB: _ClassVar[EntryKind]

class ConstraintKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSTRAINT_KIND_UNSPECIFIED: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_PRIMARY_KEY: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_UNIQUE: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_FOREIGN_KEY: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_CHECK: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_REFERENCED_BY: _ClassVar[ConstraintKind]
    CONSTRAINT_KIND_EXCLUSION: _ClassVar[ConstraintKind]
FORMAT_UNSPECIFIED: Format
FORMAT_CSV: Format
FORMAT_PARQUET: Format
FORMAT_ARROW: Format
FORMAT_RAW: Format
FORMAT_UNPACKED: Format
INCLUDE_UNSPECIFIED: Include
INCLUDE_SNAPSHOTS: Include
INCLUDE_VERSIONS: Include
INCLUDE_DELETED: Include
INCLUDE_TAGS: Include
ENTRY_KIND_UNSPECIFIED: EntryKind
ENTRY_KIND_SCHEMA: EntryKind
ENTRY_KIND_TABLE: EntryKind
ENTRY_KIND_VIEW: EntryKind
ENTRY_KIND_MATERIALIZED_VIEW: EntryKind
ENTRY_KIND_PARTITIONED_TABLE: EntryKind
ENTRY_KIND_FOREIGN_TABLE: EntryKind
ENTRY_KIND_PREFIX: EntryKind
ENTRY_KIND_BLOB: EntryKind
CONSTRAINT_KIND_UNSPECIFIED: ConstraintKind
CONSTRAINT_KIND_PRIMARY_KEY: ConstraintKind
CONSTRAINT_KIND_UNIQUE: ConstraintKind
CONSTRAINT_KIND_FOREIGN_KEY: ConstraintKind
CONSTRAINT_KIND_CHECK: ConstraintKind
CONSTRAINT_KIND_REFERENCED_BY: ConstraintKind
CONSTRAINT_KIND_EXCLUSION: ConstraintKind

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("type", "title", "config_schema", "secrets_schema", "templates", "formats", "takes_paths", "takes_globs", "takes_queries", "stores", "code_notes")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SECRETS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    TAKES_PATHS_FIELD_NUMBER: _ClassVar[int]
    TAKES_GLOBS_FIELD_NUMBER: _ClassVar[int]
    TAKES_QUERIES_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    CODE_NOTES_FIELD_NUMBER: _ClassVar[int]
    type: str
    title: str
    config_schema: _struct_pb2.Struct
    secrets_schema: _struct_pb2.Struct
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    formats: _containers.RepeatedScalarFieldContainer[Format]
    takes_paths: bool
    takes_globs: bool
    takes_queries: bool
    stores: bool
    code_notes: str
    def __init__(self, type: _Optional[str] = ..., title: _Optional[str] = ..., config_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., secrets_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., formats: _Optional[_Iterable[_Union[Format, str]]] = ..., takes_paths: _Optional[bool] = ..., takes_globs: _Optional[bool] = ..., takes_queries: _Optional[bool] = ..., stores: _Optional[bool] = ..., code_notes: _Optional[str] = ...) -> None: ...

class Template(_message.Message):
    __slots__ = ("title", "description", "example", "queries", "paths")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    title: str
    description: str
    example: _struct_pb2.Struct
    queries: _containers.RepeatedScalarFieldContainer[str]
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, title: _Optional[str] = ..., description: _Optional[str] = ..., example: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., queries: _Optional[_Iterable[str]] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("grant",)
    GRANT_FIELD_NUMBER: _ClassVar[int]
    grant: str
    def __init__(self, grant: _Optional[str] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("steps", "latency", "server_version", "writable", "warnings", "advice", "identity")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[CheckStep]
    latency: _duration_pb2.Duration
    server_version: str
    writable: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    advice: str
    identity: str
    def __init__(self, steps: _Optional[_Iterable[_Union[CheckStep, _Mapping]]] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., server_version: _Optional[str] = ..., writable: _Optional[bool] = ..., warnings: _Optional[_Iterable[str]] = ..., advice: _Optional[str] = ..., identity: _Optional[str] = ...) -> None: ...

class CheckStep(_message.Message):
    __slots__ = ("name", "passed", "message", "remedy", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    passed: bool
    message: str
    remedy: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., passed: _Optional[bool] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BrowseRequest(_message.Message):
    __slots__ = ("grant", "path", "glob", "page_size", "page_token", "refresh", "include")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GLOB_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    grant: str
    path: str
    glob: str
    page_size: int
    page_token: str
    refresh: bool
    include: _containers.RepeatedScalarFieldContainer[Include]
    def __init__(self, grant: _Optional[str] = ..., path: _Optional[str] = ..., glob: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., refresh: _Optional[bool] = ..., include: _Optional[_Iterable[_Union[Include, str]]] = ...) -> None: ...

class BrowseResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("path", "name", "kind", "size_bytes", "row_estimate", "modified_at", "content_type", "etag", "comment", "readable", "properties", "version")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROW_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    READABLE_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    path: str
    name: str
    kind: EntryKind
    size_bytes: int
    row_estimate: int
    modified_at: _timestamp_pb2.Timestamp
    content_type: str
    etag: str
    comment: str
    readable: bool
    properties: _containers.ScalarMap[str, str]
    version: str
    def __init__(self, path: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[EntryKind, str]] = ..., size_bytes: _Optional[int] = ..., row_estimate: _Optional[int] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_type: _Optional[str] = ..., etag: _Optional[str] = ..., comment: _Optional[str] = ..., readable: _Optional[bool] = ..., properties: _Optional[_Mapping[str, str]] = ..., version: _Optional[str] = ...) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ("grant", "path", "refresh", "version")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    grant: str
    path: str
    refresh: bool
    version: str
    def __init__(self, grant: _Optional[str] = ..., path: _Optional[str] = ..., refresh: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class InspectResponse(_message.Message):
    __slots__ = ("entry", "columns", "constraints", "indexes", "definition", "members", "rows", "rows_exact")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_EXACT_FIELD_NUMBER: _ClassVar[int]
    entry: Entry
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    constraints: _containers.RepeatedCompositeFieldContainer[Constraint]
    indexes: _containers.RepeatedCompositeFieldContainer[Index]
    definition: str
    members: _containers.RepeatedScalarFieldContainer[str]
    rows: int
    rows_exact: bool
    def __init__(self, entry: _Optional[_Union[Entry, _Mapping]] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., constraints: _Optional[_Iterable[_Union[Constraint, _Mapping]]] = ..., indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ..., definition: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ..., rows: _Optional[int] = ..., rows_exact: _Optional[bool] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type", "arrow_type", "nullable", "default_expression", "comment", "readable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ARROW_TYPE_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    READABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    arrow_type: str
    nullable: bool
    default_expression: str
    comment: str
    readable: bool
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., arrow_type: _Optional[str] = ..., nullable: _Optional[bool] = ..., default_expression: _Optional[str] = ..., comment: _Optional[str] = ..., readable: _Optional[bool] = ...) -> None: ...

class Constraint(_message.Message):
    __slots__ = ("name", "kind", "columns", "references_path", "references_columns", "definition")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_PATH_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ConstraintKind
    columns: _containers.RepeatedScalarFieldContainer[str]
    references_path: str
    references_columns: _containers.RepeatedScalarFieldContainer[str]
    definition: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ConstraintKind, str]] = ..., columns: _Optional[_Iterable[str]] = ..., references_path: _Optional[str] = ..., references_columns: _Optional[_Iterable[str]] = ..., definition: _Optional[str] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("name", "columns", "unique", "definition")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedScalarFieldContainer[str]
    unique: bool
    definition: str
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[str]] = ..., unique: _Optional[bool] = ..., definition: _Optional[str] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("path", "query", "version")
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    path: str
    query: Query
    version: str
    def __init__(self, path: _Optional[str] = ..., query: _Optional[_Union[Query, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("sql", "parameters")
    SQL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    sql: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, sql: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("boolean", "integer", "number", "text", "binary")
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    boolean: bool
    integer: int
    number: float
    text: str
    binary: bytes
    def __init__(self, boolean: _Optional[bool] = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., binary: _Optional[bytes] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_rows", "max_bytes", "timeout")
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    max_rows: int
    max_bytes: int
    timeout: _duration_pb2.Duration
    def __init__(self, max_rows: _Optional[int] = ..., max_bytes: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PreviewRequest(_message.Message):
    __slots__ = ("grant", "selection", "rows")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    grant: str
    selection: Selection
    rows: int
    def __init__(self, grant: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., rows: _Optional[int] = ...) -> None: ...

class PreviewResponse(_message.Message):
    __slots__ = ("columns", "arrow", "truncated")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ARROW_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    arrow: bytes
    truncated: bool
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., arrow: _Optional[bytes] = ..., truncated: _Optional[bool] = ...) -> None: ...

class ProfileRequest(_message.Message):
    __slots__ = ("grant", "path", "refresh")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    grant: str
    path: str
    refresh: bool
    def __init__(self, grant: _Optional[str] = ..., path: _Optional[str] = ..., refresh: _Optional[bool] = ...) -> None: ...

class ProfileResponse(_message.Message):
    __slots__ = ("rows", "basis", "sampled_rows", "columns", "taken_at")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_FIELD_NUMBER: _ClassVar[int]
    rows: int
    basis: str
    sampled_rows: int
    columns: _containers.RepeatedCompositeFieldContainer[ColumnProfile]
    taken_at: _timestamp_pb2.Timestamp
    def __init__(self, rows: _Optional[int] = ..., basis: _Optional[str] = ..., sampled_rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[ColumnProfile, _Mapping]]] = ..., taken_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ColumnProfile(_message.Message):
    __slots__ = ("name", "type", "null_fraction", "distinct", "minimum", "maximum", "mean", "top_values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NULL_FRACTION_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    TOP_VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    null_fraction: float
    distinct: int
    minimum: str
    maximum: str
    mean: float
    top_values: _containers.RepeatedCompositeFieldContainer[TopValue]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., null_fraction: _Optional[float] = ..., distinct: _Optional[int] = ..., minimum: _Optional[str] = ..., maximum: _Optional[str] = ..., mean: _Optional[float] = ..., top_values: _Optional[_Iterable[_Union[TopValue, _Mapping]]] = ...) -> None: ...

class TopValue(_message.Message):
    __slots__ = ("value", "fraction")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    value: str
    fraction: float
    def __init__(self, value: _Optional[str] = ..., fraction: _Optional[float] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("grant", "selection", "format", "limits", "offset_bytes", "length_bytes", "columns")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    grant: str
    selection: Selection
    format: Format
    limits: Limits
    offset_bytes: int
    length_bytes: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, grant: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., format: _Optional[_Union[Format, str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., offset_bytes: _Optional[int] = ..., length_bytes: _Optional[int] = ..., columns: _Optional[_Iterable[str]] = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("header", "piece", "progress", "summary", "complete")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    header: Header
    piece: bytes
    progress: Progress
    summary: Summary
    complete: Complete
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., piece: _Optional[bytes] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., complete: _Optional[_Union[Complete, _Mapping]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("item", "name", "format", "columns", "row_estimate", "size_bytes", "etag", "modified_at", "content_type", "arrow_schema")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROW_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ARROW_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    item: int
    name: str
    format: Format
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    row_estimate: int
    size_bytes: int
    etag: str
    modified_at: _timestamp_pb2.Timestamp
    content_type: str
    arrow_schema: bytes
    def __init__(self, item: _Optional[int] = ..., name: _Optional[str] = ..., format: _Optional[_Union[Format, str]] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., row_estimate: _Optional[int] = ..., size_bytes: _Optional[int] = ..., etag: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., content_type: _Optional[str] = ..., arrow_schema: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("item", "rows", "bytes")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    item: int
    rows: int
    bytes: int
    def __init__(self, item: _Optional[int] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("item", "rows", "bytes", "sha256", "truncated", "truncated_by")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_BY_FIELD_NUMBER: _ClassVar[int]
    item: int
    rows: int
    bytes: int
    sha256: str
    truncated: bool
    truncated_by: str
    def __init__(self, item: _Optional[int] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., truncated: _Optional[bool] = ..., truncated_by: _Optional[str] = ...) -> None: ...

class Complete(_message.Message):
    __slots__ = ("items", "rows", "bytes")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    items: int
    rows: int
    bytes: int
    def __init__(self, items: _Optional[int] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class StoreRequest(_message.Message):
    __slots__ = ("start", "piece")
    START_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    start: StoreStart
    piece: bytes
    def __init__(self, start: _Optional[_Union[StoreStart, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class StoreStart(_message.Message):
    __slots__ = ("grant", "path", "content_type", "overwrite")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    grant: str
    path: str
    content_type: str
    overwrite: bool
    def __init__(self, grant: _Optional[str] = ..., path: _Optional[str] = ..., content_type: _Optional[str] = ..., overwrite: _Optional[bool] = ...) -> None: ...

class StoreResponse(_message.Message):
    __slots__ = ("path", "size_bytes", "etag", "md5")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    MD5_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    etag: str
    md5: str
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., etag: _Optional[str] = ..., md5: _Optional[str] = ...) -> None: ...

class DisconnectRequest(_message.Message):
    __slots__ = ("grant",)
    GRANT_FIELD_NUMBER: _ClassVar[int]
    grant: str
    def __init__(self, grant: _Optional[str] = ...) -> None: ...

class DisconnectResponse(_message.Message):
    __slots__ = ("closed",)
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    closed: int
    def __init__(self, closed: _Optional[int] = ...) -> None: ...
