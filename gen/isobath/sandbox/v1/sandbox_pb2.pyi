import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isobath.connector.v1 import connector_pb2 as _connector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GuardedOperation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GUARDED_OPERATION_UNSPECIFIED: _ClassVar[GuardedOperation]
    GUARDED_OPERATION_QUERY: _ClassVar[GuardedOperation]
    GUARDED_OPERATION_WRITE: _ClassVar[GuardedOperation]

class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_UNSPECIFIED: _ClassVar[Stream]
    STREAM_STDOUT: _ClassVar[Stream]
    STREAM_STDERR: _ClassVar[Stream]
    STREAM_RESULT: _ClassVar[Stream]
    STREAM_TRACEBACK: _ClassVar[Stream]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OK: _ClassVar[Outcome]
    OUTCOME_ERROR: _ClassVar[Outcome]
    OUTCOME_TIMEOUT: _ClassVar[Outcome]
    OUTCOME_INTERRUPTED: _ClassVar[Outcome]
    OUTCOME_DIED: _ClassVar[Outcome]
GUARDED_OPERATION_UNSPECIFIED: GuardedOperation
GUARDED_OPERATION_QUERY: GuardedOperation
GUARDED_OPERATION_WRITE: GuardedOperation
STREAM_UNSPECIFIED: Stream
STREAM_STDOUT: Stream
STREAM_STDERR: Stream
STREAM_RESULT: Stream
STREAM_TRACEBACK: Stream
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OK: Outcome
OUTCOME_ERROR: Outcome
OUTCOME_TIMEOUT: Outcome
OUTCOME_INTERRUPTED: Outcome
OUTCOME_DIED: Outcome

class OpenSessionRequest(_message.Message):
    __slots__ = ("thread_id", "owner", "limits")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    owner: str
    limits: SessionLimits
    def __init__(self, thread_id: _Optional[str] = ..., owner: _Optional[str] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ...) -> None: ...

class SessionLimits(_message.Message):
    __slots__ = ("memory_bytes", "workspace_bytes", "processes", "idle")
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    memory_bytes: int
    workspace_bytes: int
    processes: int
    idle: _duration_pb2.Duration
    def __init__(self, memory_bytes: _Optional[int] = ..., workspace_bytes: _Optional[int] = ..., processes: _Optional[int] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("session_id", "tier", "enforcement", "resumed", "expires_at", "fresh", "moved_without")
    class EnforcementEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    MOVED_WITHOUT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    tier: str
    enforcement: _containers.ScalarMap[str, str]
    resumed: bool
    expires_at: _timestamp_pb2.Timestamp
    fresh: bool
    moved_without: int
    def __init__(self, session_id: _Optional[str] = ..., tier: _Optional[str] = ..., enforcement: _Optional[_Mapping[str, str]] = ..., resumed: _Optional[bool] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fresh: _Optional[bool] = ..., moved_without: _Optional[int] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("name", "source_id", "type", "grant", "write_grant", "write_prefix", "guarded")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    WRITE_GRANT_FIELD_NUMBER: _ClassVar[int]
    WRITE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    GUARDED_FIELD_NUMBER: _ClassVar[int]
    name: str
    source_id: str
    type: str
    grant: str
    write_grant: str
    write_prefix: str
    guarded: _containers.RepeatedScalarFieldContainer[GuardedOperation]
    def __init__(self, name: _Optional[str] = ..., source_id: _Optional[str] = ..., type: _Optional[str] = ..., grant: _Optional[str] = ..., write_grant: _Optional[str] = ..., write_prefix: _Optional[str] = ..., guarded: _Optional[_Iterable[_Union[GuardedOperation, str]]] = ...) -> None: ...

class AttachSourcesRequest(_message.Message):
    __slots__ = ("session_id", "run_id", "sources")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    run_id: str
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    def __init__(self, session_id: _Optional[str] = ..., run_id: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ...) -> None: ...

class AttachSourcesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DetachSourcesRequest(_message.Message):
    __slots__ = ("session_id", "run_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    run_id: str
    def __init__(self, session_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class DetachSourcesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ImportRequest(_message.Message):
    __slots__ = ("session_id", "items")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    items: _containers.RepeatedCompositeFieldContainer[ImportItem]
    def __init__(self, session_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[ImportItem, _Mapping]]] = ...) -> None: ...

class ImportItem(_message.Message):
    __slots__ = ("source", "selection", "format", "limits", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: Source
    selection: _connector_pb2.Selection
    format: _connector_pb2.Format
    limits: _connector_pb2.Limits
    target: str
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., selection: _Optional[_Union[_connector_pb2.Selection, _Mapping]] = ..., format: _Optional[_Union[_connector_pb2.Format, str]] = ..., limits: _Optional[_Union[_connector_pb2.Limits, _Mapping]] = ..., target: _Optional[str] = ...) -> None: ...

class ImportResponse(_message.Message):
    __slots__ = ("item", "progress", "file", "done")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    item: int
    progress: ImportProgress
    file: ImportedFile
    done: ImportDone
    def __init__(self, item: _Optional[int] = ..., progress: _Optional[_Union[ImportProgress, _Mapping]] = ..., file: _Optional[_Union[ImportedFile, _Mapping]] = ..., done: _Optional[_Union[ImportDone, _Mapping]] = ...) -> None: ...

class ImportProgress(_message.Message):
    __slots__ = ("rows", "bytes", "total_bytes")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    rows: int
    bytes: int
    total_bytes: int
    def __init__(self, rows: _Optional[int] = ..., bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class ImportedFile(_message.Message):
    __slots__ = ("path", "source_path", "size_bytes", "rows", "columns", "sha256", "truncated", "truncated_by")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_BY_FIELD_NUMBER: _ClassVar[int]
    path: str
    source_path: str
    size_bytes: int
    rows: int
    columns: _containers.RepeatedCompositeFieldContainer[_connector_pb2.Column]
    sha256: str
    truncated: bool
    truncated_by: str
    def __init__(self, path: _Optional[str] = ..., source_path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[_connector_pb2.Column, _Mapping]]] = ..., sha256: _Optional[str] = ..., truncated: _Optional[bool] = ..., truncated_by: _Optional[str] = ...) -> None: ...

class ImportDone(_message.Message):
    __slots__ = ("files", "bytes", "elapsed")
    FILES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    files: int
    bytes: int
    elapsed: _duration_pb2.Duration
    def __init__(self, files: _Optional[int] = ..., bytes: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("session_id", "program_id", "code", "timeout")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    program_id: str
    code: str
    timeout: _duration_pb2.Duration
    def __init__(self, session_id: _Optional[str] = ..., program_id: _Optional[str] = ..., code: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("output", "display", "artifact", "finished", "approval")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    output: Output
    display: Display
    artifact: Artifact
    finished: Finished
    approval: ApprovalRequest
    def __init__(self, output: _Optional[_Union[Output, _Mapping]] = ..., display: _Optional[_Union[Display, _Mapping]] = ..., artifact: _Optional[_Union[Artifact, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., approval: _Optional[_Union[ApprovalRequest, _Mapping]] = ...) -> None: ...

class ApprovalRequest(_message.Message):
    __slots__ = ("approval_id", "source", "source_id", "operation", "query", "path", "overwrite")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    source: str
    source_id: str
    operation: GuardedOperation
    query: _connector_pb2.Query
    path: str
    overwrite: bool
    def __init__(self, approval_id: _Optional[str] = ..., source: _Optional[str] = ..., source_id: _Optional[str] = ..., operation: _Optional[_Union[GuardedOperation, str]] = ..., query: _Optional[_Union[_connector_pb2.Query, _Mapping]] = ..., path: _Optional[str] = ..., overwrite: _Optional[bool] = ...) -> None: ...

class DecideApprovalRequest(_message.Message):
    __slots__ = ("session_id", "approval_id", "approved", "comment")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    approval_id: str
    approved: bool
    comment: str
    def __init__(self, session_id: _Optional[str] = ..., approval_id: _Optional[str] = ..., approved: _Optional[bool] = ..., comment: _Optional[str] = ...) -> None: ...

class DecideApprovalResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Output(_message.Message):
    __slots__ = ("stream", "text")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    stream: Stream
    text: str
    def __init__(self, stream: _Optional[_Union[Stream, str]] = ..., text: _Optional[str] = ...) -> None: ...

class Display(_message.Message):
    __slots__ = ("data",)
    class DataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _containers.ScalarMap[str, bytes]
    def __init__(self, data: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("path", "size_bytes", "media_type", "sha256")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    media_type: str
    sha256: str
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("outcome", "elapsed", "error_name", "error_text", "cause", "exit_code", "signal", "output_bytes_cut", "usage")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_TEXT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_CUT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    elapsed: _duration_pb2.Duration
    error_name: str
    error_text: str
    cause: str
    exit_code: int
    signal: int
    output_bytes_cut: int
    usage: ProgramUsage
    def __init__(self, outcome: _Optional[_Union[Outcome, str]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error_name: _Optional[str] = ..., error_text: _Optional[str] = ..., cause: _Optional[str] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., output_bytes_cut: _Optional[int] = ..., usage: _Optional[_Union[ProgramUsage, _Mapping]] = ...) -> None: ...

class ProgramUsage(_message.Message):
    __slots__ = ("cpu", "peak_memory_bytes")
    CPU_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu: _duration_pb2.Duration
    peak_memory_bytes: int
    def __init__(self, cpu: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ...) -> None: ...

class InterruptRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class InterruptResponse(_message.Message):
    __slots__ = ("was_running",)
    WAS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    was_running: bool
    def __init__(self, was_running: _Optional[bool] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("session_id", "page_size", "page_token")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    page_size: int
    page_token: str
    def __init__(self, session_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "next_page_token")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[WorkspaceFile]
    next_page_token: str
    def __init__(self, files: _Optional[_Iterable[_Union[WorkspaceFile, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WorkspaceFile(_message.Message):
    __slots__ = ("path", "size_bytes", "modified_at", "media_type")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    modified_at: _timestamp_pb2.Timestamp
    media_type: str
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., media_type: _Optional[str] = ...) -> None: ...

class ReadFileRequest(_message.Message):
    __slots__ = ("session_id", "path")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    path: str
    def __init__(self, session_id: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class ReadFileResponse(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: WorkspaceFile
    piece: bytes
    def __init__(self, header: _Optional[_Union[WorkspaceFile, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class WriteFileRequest(_message.Message):
    __slots__ = ("start", "piece")
    START_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    start: WriteFileStart
    piece: bytes
    def __init__(self, start: _Optional[_Union[WriteFileStart, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class WriteFileStart(_message.Message):
    __slots__ = ("session_id", "path")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    path: str
    def __init__(self, session_id: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class WriteFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: WorkspaceFile
    def __init__(self, file: _Optional[_Union[WorkspaceFile, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id", "remove_workspace", "thread_id", "owner")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REMOVE_WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    remove_workspace: bool
    thread_id: str
    owner: str
    def __init__(self, session_id: _Optional[str] = ..., remove_workspace: _Optional[bool] = ..., thread_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class LoadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LoadResponse(_message.Message):
    __slots__ = ("slots", "held", "busy", "waiting", "draining")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    slots: int
    held: int
    busy: int
    waiting: int
    draining: bool
    def __init__(self, slots: _Optional[int] = ..., held: _Optional[int] = ..., busy: _Optional[int] = ..., waiting: _Optional[int] = ..., draining: _Optional[bool] = ...) -> None: ...

class TakeWorkspaceRequest(_message.Message):
    __slots__ = ("thread_id", "owner", "origins")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    owner: str
    origins: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, thread_id: _Optional[str] = ..., owner: _Optional[str] = ..., origins: _Optional[_Iterable[str]] = ...) -> None: ...

class TakeWorkspaceResponse(_message.Message):
    __slots__ = ("found", "origin", "files", "bytes", "unreachable", "busy_at")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    BUSY_AT_FIELD_NUMBER: _ClassVar[int]
    found: bool
    origin: str
    files: int
    bytes: int
    unreachable: _containers.RepeatedScalarFieldContainer[str]
    busy_at: str
    def __init__(self, found: _Optional[bool] = ..., origin: _Optional[str] = ..., files: _Optional[int] = ..., bytes: _Optional[int] = ..., unreachable: _Optional[_Iterable[str]] = ..., busy_at: _Optional[str] = ...) -> None: ...

class ExportWorkspaceRequest(_message.Message):
    __slots__ = ("thread_id", "owner")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    owner: str
    def __init__(self, thread_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class ExportWorkspaceResponse(_message.Message):
    __slots__ = ("entry", "piece", "summary")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    entry: WorkspaceEntry
    piece: bytes
    summary: ExportSummary
    def __init__(self, entry: _Optional[_Union[WorkspaceEntry, _Mapping]] = ..., piece: _Optional[bytes] = ..., summary: _Optional[_Union[ExportSummary, _Mapping]] = ...) -> None: ...

class WorkspaceEntry(_message.Message):
    __slots__ = ("path", "is_folder", "mode", "modified_ns")
    PATH_FIELD_NUMBER: _ClassVar[int]
    IS_FOLDER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_NS_FIELD_NUMBER: _ClassVar[int]
    path: str
    is_folder: bool
    mode: int
    modified_ns: int
    def __init__(self, path: _Optional[str] = ..., is_folder: _Optional[bool] = ..., mode: _Optional[int] = ..., modified_ns: _Optional[int] = ...) -> None: ...

class ExportSummary(_message.Message):
    __slots__ = ("export_id", "files", "bytes", "left_out", "sha256")
    EXPORT_ID_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    export_id: str
    files: int
    bytes: int
    left_out: int
    sha256: str
    def __init__(self, export_id: _Optional[str] = ..., files: _Optional[int] = ..., bytes: _Optional[int] = ..., left_out: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class ForgetWorkspaceRequest(_message.Message):
    __slots__ = ("thread_id", "owner", "export_id")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    EXPORT_ID_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    owner: str
    export_id: str
    def __init__(self, thread_id: _Optional[str] = ..., owner: _Optional[str] = ..., export_id: _Optional[str] = ...) -> None: ...

class ForgetWorkspaceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
