import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from isobath.analyst.v1 import access_pb2 as _access_pb2
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

class BlockKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCK_KIND_UNSPECIFIED: _ClassVar[BlockKind]
    BLOCK_KIND_ANALYZE: _ClassVar[BlockKind]
    BLOCK_KIND_UNDERSTAND: _ClassVar[BlockKind]
    BLOCK_KIND_CODE: _ClassVar[BlockKind]
    BLOCK_KIND_ANSWER: _ClassVar[BlockKind]
    BLOCK_KIND_EXECUTE: _ClassVar[BlockKind]
    BLOCK_KIND_FILE: _ClassVar[BlockKind]

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_NOTEBOOK: _ClassVar[ExportFormat]
    EXPORT_FORMAT_HTML: _ClassVar[ExportFormat]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_FETCHING: _ClassVar[RunState]
    RUN_STATE_WORKING: _ClassVar[RunState]
    RUN_STATE_COMPLETED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_CANCELLED: _ClassVar[RunState]
    RUN_STATE_INTERRUPTED: _ClassVar[RunState]
    RUN_STATE_WAITING: _ClassVar[RunState]
GUARDED_OPERATION_UNSPECIFIED: GuardedOperation
GUARDED_OPERATION_QUERY: GuardedOperation
GUARDED_OPERATION_WRITE: GuardedOperation
BLOCK_KIND_UNSPECIFIED: BlockKind
BLOCK_KIND_ANALYZE: BlockKind
BLOCK_KIND_UNDERSTAND: BlockKind
BLOCK_KIND_CODE: BlockKind
BLOCK_KIND_ANSWER: BlockKind
BLOCK_KIND_EXECUTE: BlockKind
BLOCK_KIND_FILE: BlockKind
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_NOTEBOOK: ExportFormat
EXPORT_FORMAT_HTML: ExportFormat
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_FETCHING: RunState
RUN_STATE_WORKING: RunState
RUN_STATE_COMPLETED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_CANCELLED: RunState
RUN_STATE_INTERRUPTED: RunState
RUN_STATE_WAITING: RunState

class ChatRequest(_message.Message):
    __slots__ = ("model", "messages", "data_sources", "file_ids", "thread_id", "temperature", "bounds", "detach", "idempotency_key", "artifacts_to", "approval")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCES_FIELD_NUMBER: _ClassVar[int]
    FILE_IDS_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_TO_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    model: str
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    data_sources: _containers.RepeatedCompositeFieldContainer[DataSelection]
    file_ids: _containers.RepeatedScalarFieldContainer[str]
    thread_id: str
    temperature: float
    bounds: RunBounds
    detach: bool
    idempotency_key: str
    artifacts_to: ArtifactsTo
    approval: _containers.RepeatedScalarFieldContainer[GuardedOperation]
    def __init__(self, model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., data_sources: _Optional[_Iterable[_Union[DataSelection, _Mapping]]] = ..., file_ids: _Optional[_Iterable[str]] = ..., thread_id: _Optional[str] = ..., temperature: _Optional[float] = ..., bounds: _Optional[_Union[RunBounds, _Mapping]] = ..., detach: _Optional[bool] = ..., idempotency_key: _Optional[str] = ..., artifacts_to: _Optional[_Union[ArtifactsTo, _Mapping]] = ..., approval: _Optional[_Iterable[_Union[GuardedOperation, str]]] = ...) -> None: ...

class ArtifactsTo(_message.Message):
    __slots__ = ("source", "prefix", "overwrite")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    source: str
    prefix: str
    overwrite: bool
    def __init__(self, source: _Optional[str] = ..., prefix: _Optional[str] = ..., overwrite: _Optional[bool] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class DataSelection(_message.Message):
    __slots__ = ("source", "type", "path", "table", "query", "format", "target", "limits", "version")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    source: str
    type: str
    path: str
    table: str
    query: _connector_pb2.Query
    format: _connector_pb2.Format
    target: str
    limits: _connector_pb2.Limits
    version: str
    def __init__(self, source: _Optional[str] = ..., type: _Optional[str] = ..., path: _Optional[str] = ..., table: _Optional[str] = ..., query: _Optional[_Union[_connector_pb2.Query, _Mapping]] = ..., format: _Optional[_Union[_connector_pb2.Format, str]] = ..., target: _Optional[str] = ..., limits: _Optional[_Union[_connector_pb2.Limits, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class RunBounds(_message.Message):
    __slots__ = ("rounds", "tokens", "time", "program_time")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_TIME_FIELD_NUMBER: _ClassVar[int]
    rounds: int
    tokens: int
    time: _duration_pb2.Duration
    program_time: _duration_pb2.Duration
    def __init__(self, rounds: _Optional[int] = ..., tokens: _Optional[int] = ..., time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., program_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("run_id", "sequence", "at", "started", "fetch_progress", "file_ready", "block_opened", "block_text", "block_closed", "program_started", "program_output", "figure", "artifact", "program_finished", "completed", "failed", "cancelled", "notice", "approval_requested", "approval_decided")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    FETCH_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FILE_READY_FIELD_NUMBER: _ClassVar[int]
    BLOCK_OPENED_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TEXT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_CLOSED_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_STARTED_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FINISHED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_DECIDED_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sequence: int
    at: _timestamp_pb2.Timestamp
    started: RunStarted
    fetch_progress: FetchProgress
    file_ready: FileReady
    block_opened: BlockOpened
    block_text: BlockText
    block_closed: BlockClosed
    program_started: ProgramStarted
    program_output: ProgramOutput
    figure: Figure
    artifact: ArtifactReady
    program_finished: ProgramFinished
    completed: RunCompleted
    failed: RunFailed
    cancelled: RunCancelled
    notice: Notice
    approval_requested: ApprovalRequested
    approval_decided: ApprovalDecided
    def __init__(self, run_id: _Optional[str] = ..., sequence: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started: _Optional[_Union[RunStarted, _Mapping]] = ..., fetch_progress: _Optional[_Union[FetchProgress, _Mapping]] = ..., file_ready: _Optional[_Union[FileReady, _Mapping]] = ..., block_opened: _Optional[_Union[BlockOpened, _Mapping]] = ..., block_text: _Optional[_Union[BlockText, _Mapping]] = ..., block_closed: _Optional[_Union[BlockClosed, _Mapping]] = ..., program_started: _Optional[_Union[ProgramStarted, _Mapping]] = ..., program_output: _Optional[_Union[ProgramOutput, _Mapping]] = ..., figure: _Optional[_Union[Figure, _Mapping]] = ..., artifact: _Optional[_Union[ArtifactReady, _Mapping]] = ..., program_finished: _Optional[_Union[ProgramFinished, _Mapping]] = ..., completed: _Optional[_Union[RunCompleted, _Mapping]] = ..., failed: _Optional[_Union[RunFailed, _Mapping]] = ..., cancelled: _Optional[_Union[RunCancelled, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., approval_requested: _Optional[_Union[ApprovalRequested, _Mapping]] = ..., approval_decided: _Optional[_Union[ApprovalDecided, _Mapping]] = ...) -> None: ...

class RunStarted(_message.Message):
    __slots__ = ("thread_id", "model", "tier", "question")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    model: str
    tier: str
    question: str
    def __init__(self, thread_id: _Optional[str] = ..., model: _Optional[str] = ..., tier: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...

class FetchProgress(_message.Message):
    __slots__ = ("selection", "source", "rows", "bytes", "total_bytes")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    selection: int
    source: str
    rows: int
    bytes: int
    total_bytes: int
    def __init__(self, selection: _Optional[int] = ..., source: _Optional[str] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class FileReady(_message.Message):
    __slots__ = ("selection", "source", "path", "size_bytes", "rows", "columns", "truncated", "truncated_by")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_BY_FIELD_NUMBER: _ClassVar[int]
    selection: int
    source: str
    path: str
    size_bytes: int
    rows: int
    columns: _containers.RepeatedCompositeFieldContainer[_connector_pb2.Column]
    truncated: bool
    truncated_by: str
    def __init__(self, selection: _Optional[int] = ..., source: _Optional[str] = ..., path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., rows: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[_connector_pb2.Column, _Mapping]]] = ..., truncated: _Optional[bool] = ..., truncated_by: _Optional[str] = ...) -> None: ...

class BlockOpened(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: BlockKind
    def __init__(self, kind: _Optional[_Union[BlockKind, str]] = ...) -> None: ...

class BlockText(_message.Message):
    __slots__ = ("kind", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: BlockKind
    text: str
    def __init__(self, kind: _Optional[_Union[BlockKind, str]] = ..., text: _Optional[str] = ...) -> None: ...

class BlockClosed(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: BlockKind
    def __init__(self, kind: _Optional[_Union[BlockKind, str]] = ...) -> None: ...

class ProgramStarted(_message.Message):
    __slots__ = ("round", "code")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    round: int
    code: str
    def __init__(self, round: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class ProgramOutput(_message.Message):
    __slots__ = ("round", "stream", "text")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    round: int
    stream: str
    text: str
    def __init__(self, round: _Optional[int] = ..., stream: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Figure(_message.Message):
    __slots__ = ("round", "media_type", "file_id", "name", "size_bytes", "url")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    round: int
    media_type: str
    file_id: str
    name: str
    size_bytes: int
    url: str
    def __init__(self, round: _Optional[int] = ..., media_type: _Optional[str] = ..., file_id: _Optional[str] = ..., name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., url: _Optional[str] = ...) -> None: ...

class ArtifactReady(_message.Message):
    __slots__ = ("round", "file_id", "name", "size_bytes", "media_type", "url")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    round: int
    file_id: str
    name: str
    size_bytes: int
    media_type: str
    url: str
    def __init__(self, round: _Optional[int] = ..., file_id: _Optional[str] = ..., name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class ProgramFinished(_message.Message):
    __slots__ = ("round", "outcome", "elapsed", "error")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    round: int
    outcome: str
    elapsed: _duration_pb2.Duration
    error: str
    def __init__(self, round: _Optional[int] = ..., outcome: _Optional[str] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class RunCompleted(_message.Message):
    __slots__ = ("answer", "usage", "finish", "files", "written")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    answer: str
    usage: RunUsage
    finish: str
    files: _containers.RepeatedCompositeFieldContainer[FileInfo]
    written: _containers.RepeatedCompositeFieldContainer[WrittenArtifact]
    def __init__(self, answer: _Optional[str] = ..., usage: _Optional[_Union[RunUsage, _Mapping]] = ..., finish: _Optional[str] = ..., files: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ..., written: _Optional[_Iterable[_Union[WrittenArtifact, _Mapping]]] = ...) -> None: ...

class WrittenArtifact(_message.Message):
    __slots__ = ("file_id", "source", "path", "size_bytes", "etag", "reason", "message", "remedy")
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    file_id: str
    source: str
    path: str
    size_bytes: int
    etag: str
    reason: str
    message: str
    remedy: str
    def __init__(self, file_id: _Optional[str] = ..., source: _Optional[str] = ..., path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class RunFailed(_message.Message):
    __slots__ = ("reason", "message", "remedy", "metadata", "usage", "code")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    remedy: str
    metadata: _containers.ScalarMap[str, str]
    usage: RunUsage
    code: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., usage: _Optional[_Union[RunUsage, _Mapping]] = ..., code: _Optional[int] = ...) -> None: ...

class RunCancelled(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: RunUsage
    def __init__(self, usage: _Optional[_Union[RunUsage, _Mapping]] = ...) -> None: ...

class ApprovalRequested(_message.Message):
    __slots__ = ("approval_id", "round", "source", "source_id", "operation", "query", "path", "overwrite", "expires_at")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    round: int
    source: str
    source_id: str
    operation: GuardedOperation
    query: _connector_pb2.Query
    path: str
    overwrite: bool
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, approval_id: _Optional[str] = ..., round: _Optional[int] = ..., source: _Optional[str] = ..., source_id: _Optional[str] = ..., operation: _Optional[_Union[GuardedOperation, str]] = ..., query: _Optional[_Union[_connector_pb2.Query, _Mapping]] = ..., path: _Optional[str] = ..., overwrite: _Optional[bool] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApprovalDecided(_message.Message):
    __slots__ = ("approval_id", "approved", "comment", "decided_by", "how")
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    approval_id: str
    approved: bool
    comment: str
    decided_by: str
    how: str
    def __init__(self, approval_id: _Optional[str] = ..., approved: _Optional[bool] = ..., comment: _Optional[str] = ..., decided_by: _Optional[str] = ..., how: _Optional[str] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class RunUsage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "rounds", "fetched_bytes", "fetched_rows", "elapsed", "estimated", "waited")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    FETCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FETCHED_ROWS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    WAITED_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    rounds: int
    fetched_bytes: int
    fetched_rows: int
    elapsed: _duration_pb2.Duration
    estimated: bool
    waited: _duration_pb2.Duration
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., rounds: _Optional[int] = ..., fetched_bytes: _Optional[int] = ..., fetched_rows: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., estimated: _Optional[bool] = ..., waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("run_id", "from_sequence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    from_sequence: int
    def __init__(self, run_id: _Optional[str] = ..., from_sequence: _Optional[int] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: ChatRequest
    def __init__(self, question: _Optional[_Union[ChatRequest, _Mapping]] = ...) -> None: ...

class StartRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals",)
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("requested", "requested_at", "decided", "decided_at")
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    requested: ApprovalRequested
    requested_at: _timestamp_pb2.Timestamp
    decided: ApprovalDecided
    decided_at: _timestamp_pb2.Timestamp
    def __init__(self, requested: _Optional[_Union[ApprovalRequested, _Mapping]] = ..., requested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided: _Optional[_Union[ApprovalDecided, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DecideApprovalRequest(_message.Message):
    __slots__ = ("run_id", "approval_id", "approved", "comment", "rest_of_run")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    REST_OF_RUN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    approval_id: str
    approved: bool
    comment: str
    rest_of_run: bool
    def __init__(self, run_id: _Optional[str] = ..., approval_id: _Optional[str] = ..., approved: _Optional[bool] = ..., comment: _Optional[str] = ..., rest_of_run: _Optional[bool] = ...) -> None: ...

class DecideApprovalResponse(_message.Message):
    __slots__ = ("approval",)
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class ExportRunRequest(_message.Message):
    __slots__ = ("run_id", "format")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    format: ExportFormat
    def __init__(self, run_id: _Optional[str] = ..., format: _Optional[_Union[ExportFormat, str]] = ...) -> None: ...

class ExportRunResponse(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: ExportHeader
    piece: bytes
    def __init__(self, header: _Optional[_Union[ExportHeader, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class ExportHeader(_message.Message):
    __slots__ = ("name", "media_type", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    media_type: str
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., media_type: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class GetConversationRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetConversationResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: RunRecord
    def __init__(self, record: _Optional[_Union[RunRecord, _Mapping]] = ...) -> None: ...

class RunRecord(_message.Message):
    __slots__ = ("format", "run_id", "thread_id", "model", "state", "ended_by", "error_reason", "created_at", "ended_at", "question", "sources", "messages", "cut", "usage", "feedback")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    format: str
    run_id: str
    thread_id: str
    model: str
    state: str
    ended_by: str
    error_reason: str
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    question: str
    sources: _containers.RepeatedCompositeFieldContainer[RecordedSource]
    messages: _containers.RepeatedCompositeFieldContainer[RecordedMessage]
    cut: bool
    usage: RecordedUsage
    feedback: _containers.RepeatedCompositeFieldContainer[Feedback]
    def __init__(self, format: _Optional[str] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., model: _Optional[str] = ..., state: _Optional[str] = ..., ended_by: _Optional[str] = ..., error_reason: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., question: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[RecordedSource, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[RecordedMessage, _Mapping]]] = ..., cut: _Optional[bool] = ..., usage: _Optional[_Union[RecordedUsage, _Mapping]] = ..., feedback: _Optional[_Iterable[_Union[Feedback, _Mapping]]] = ...) -> None: ...

class RecordedSource(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class RecordedMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class RecordedUsage(_message.Message):
    __slots__ = ("rounds", "prompt_tokens", "completion_tokens", "seconds")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    rounds: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    def __init__(self, rounds: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("rating", "comment", "correction", "created_at")
    RATING_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    rating: str
    comment: str
    correction: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, rating: _Optional[str] = ..., comment: _Optional[str] = ..., correction: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PutFeedbackRequest(_message.Message):
    __slots__ = ("run_id", "rating", "comment", "correction")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    rating: str
    comment: str
    correction: str
    def __init__(self, run_id: _Optional[str] = ..., rating: _Optional[str] = ..., comment: _Optional[str] = ..., correction: _Optional[str] = ...) -> None: ...

class PutFeedbackResponse(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: RunFeedback
    def __init__(self, feedback: _Optional[_Union[RunFeedback, _Mapping]] = ...) -> None: ...

class ListFeedbackRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ListFeedbackResponse(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: _containers.RepeatedCompositeFieldContainer[RunFeedback]
    def __init__(self, feedback: _Optional[_Iterable[_Union[RunFeedback, _Mapping]]] = ...) -> None: ...

class DeleteFeedbackRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class DeleteFeedbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunFeedback(_message.Message):
    __slots__ = ("given_by", "feedback")
    GIVEN_BY_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    given_by: str
    feedback: Feedback
    def __init__(self, given_by: _Optional[str] = ..., feedback: _Optional[_Union[Feedback, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("services", "tier", "readiness", "reason")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    READINESS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[ServiceStatus]
    tier: str
    readiness: str
    reason: str
    def __init__(self, services: _Optional[_Iterable[_Union[ServiceStatus, _Mapping]]] = ..., tier: _Optional[str] = ..., readiness: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ServiceStatus(_message.Message):
    __slots__ = ("name", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("thread_id", "page_size", "page_token")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    page_size: int
    page_token: str
    def __init__(self, thread_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "thread_id", "model", "state", "created_at", "ended_at", "last_sequence", "usage", "error_reason", "error_message")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    thread_id: str
    model: str
    state: RunState
    created_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    last_sequence: int
    usage: RunUsage
    error_reason: str
    error_message: str
    def __init__(self, run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., model: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sequence: _Optional[int] = ..., usage: _Optional[_Union[RunUsage, _Mapping]] = ..., error_reason: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class Thread(_message.Message):
    __slots__ = ("thread_id", "title", "created_at", "expires_at")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    title: str
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, thread_id: _Optional[str] = ..., title: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListThreadsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListThreadsResponse(_message.Message):
    __slots__ = ("threads", "next_page_token")
    THREADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    threads: _containers.RepeatedCompositeFieldContainer[Thread]
    next_page_token: str
    def __init__(self, threads: _Optional[_Iterable[_Union[Thread, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetThreadRequest(_message.Message):
    __slots__ = ("thread_id",)
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    def __init__(self, thread_id: _Optional[str] = ...) -> None: ...

class GetThreadResponse(_message.Message):
    __slots__ = ("thread", "messages", "files")
    THREAD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    thread: Thread
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    files: _containers.RepeatedCompositeFieldContainer[FileInfo]
    def __init__(self, thread: _Optional[_Union[Thread, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., files: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ...) -> None: ...

class DeleteThreadRequest(_message.Message):
    __slots__ = ("thread_id",)
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    def __init__(self, thread_id: _Optional[str] = ...) -> None: ...

class DeleteThreadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ChatModel]
    def __init__(self, models: _Optional[_Iterable[_Union[ChatModel, _Mapping]]] = ...) -> None: ...

class ChatModel(_message.Message):
    __slots__ = ("id", "is_agent", "description")
    ID_FIELD_NUMBER: _ClassVar[int]
    IS_AGENT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    is_agent: bool
    description: str
    def __init__(self, id: _Optional[str] = ..., is_agent: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class DataSource(_message.Message):
    __slots__ = ("id", "name", "type", "description", "config_json", "secrets_set", "version", "created_at", "updated_at", "owner", "teams", "guide", "approval")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    SECRETS_SET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TEAMS_FIELD_NUMBER: _ClassVar[int]
    GUIDE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    type: str
    description: str
    config_json: str
    secrets_set: _containers.RepeatedScalarFieldContainer[str]
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    owner: str
    teams: _containers.RepeatedScalarFieldContainer[str]
    guide: Guide
    approval: _containers.RepeatedScalarFieldContainer[GuardedOperation]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ..., description: _Optional[str] = ..., config_json: _Optional[str] = ..., secrets_set: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., owner: _Optional[str] = ..., teams: _Optional[_Iterable[str]] = ..., guide: _Optional[_Union[Guide, _Mapping]] = ..., approval: _Optional[_Iterable[_Union[GuardedOperation, str]]] = ...) -> None: ...

class Guide(_message.Message):
    __slots__ = ("notes", "queries")
    class NotesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NOTES_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    notes: _containers.ScalarMap[str, str]
    queries: _containers.RepeatedCompositeFieldContainer[KnownQuery]
    def __init__(self, notes: _Optional[_Mapping[str, str]] = ..., queries: _Optional[_Iterable[_Union[KnownQuery, _Mapping]]] = ...) -> None: ...

class KnownQuery(_message.Message):
    __slots__ = ("question", "sql")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    question: str
    sql: str
    def __init__(self, question: _Optional[str] = ..., sql: _Optional[str] = ...) -> None: ...

class CreateDataSourceRequest(_message.Message):
    __slots__ = ("name", "type", "description", "config_json", "secrets", "teams", "guide", "approval")
    class SecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    TEAMS_FIELD_NUMBER: _ClassVar[int]
    GUIDE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    description: str
    config_json: str
    secrets: _containers.ScalarMap[str, str]
    teams: _containers.RepeatedScalarFieldContainer[str]
    guide: Guide
    approval: _containers.RepeatedScalarFieldContainer[GuardedOperation]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., description: _Optional[str] = ..., config_json: _Optional[str] = ..., secrets: _Optional[_Mapping[str, str]] = ..., teams: _Optional[_Iterable[str]] = ..., guide: _Optional[_Union[Guide, _Mapping]] = ..., approval: _Optional[_Iterable[_Union[GuardedOperation, str]]] = ...) -> None: ...

class CreateDataSourceResponse(_message.Message):
    __slots__ = ("data_source",)
    DATA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    data_source: DataSource
    def __init__(self, data_source: _Optional[_Union[DataSource, _Mapping]] = ...) -> None: ...

class ListDataSourcesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDataSourcesResponse(_message.Message):
    __slots__ = ("data_sources", "next_page_token")
    DATA_SOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    data_sources: _containers.RepeatedCompositeFieldContainer[DataSource]
    next_page_token: str
    def __init__(self, data_sources: _Optional[_Iterable[_Union[DataSource, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDataSourceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetDataSourceResponse(_message.Message):
    __slots__ = ("data_source",)
    DATA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    data_source: DataSource
    def __init__(self, data_source: _Optional[_Union[DataSource, _Mapping]] = ...) -> None: ...

class UpdateDataSourceRequest(_message.Message):
    __slots__ = ("id", "name", "description", "config_json", "secrets", "clear_secrets", "teams", "guide", "approval")
    class SecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    CLEAR_SECRETS_FIELD_NUMBER: _ClassVar[int]
    TEAMS_FIELD_NUMBER: _ClassVar[int]
    GUIDE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    description: str
    config_json: str
    secrets: _containers.ScalarMap[str, str]
    clear_secrets: _containers.RepeatedScalarFieldContainer[str]
    teams: _access_pb2.Teams
    guide: Guide
    approval: ApprovalPolicy
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., config_json: _Optional[str] = ..., secrets: _Optional[_Mapping[str, str]] = ..., clear_secrets: _Optional[_Iterable[str]] = ..., teams: _Optional[_Union[_access_pb2.Teams, _Mapping]] = ..., guide: _Optional[_Union[Guide, _Mapping]] = ..., approval: _Optional[_Union[ApprovalPolicy, _Mapping]] = ...) -> None: ...

class ApprovalPolicy(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedScalarFieldContainer[GuardedOperation]
    def __init__(self, operations: _Optional[_Iterable[_Union[GuardedOperation, str]]] = ...) -> None: ...

class UpdateDataSourceResponse(_message.Message):
    __slots__ = ("data_source",)
    DATA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    data_source: DataSource
    def __init__(self, data_source: _Optional[_Union[DataSource, _Mapping]] = ...) -> None: ...

class DeleteDataSourceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteDataSourceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckDataSourceRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CheckDataSourceResponse(_message.Message):
    __slots__ = ("ok", "check")
    OK_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    check: _connector_pb2.CheckResponse
    def __init__(self, ok: _Optional[bool] = ..., check: _Optional[_Union[_connector_pb2.CheckResponse, _Mapping]] = ...) -> None: ...

class BrowseDataSourceRequest(_message.Message):
    __slots__ = ("id", "path", "glob", "page_size", "page_token", "refresh", "include")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GLOB_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    glob: str
    page_size: int
    page_token: str
    refresh: bool
    include: _containers.RepeatedScalarFieldContainer[_connector_pb2.Include]
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ..., glob: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., refresh: _Optional[bool] = ..., include: _Optional[_Iterable[_Union[_connector_pb2.Include, str]]] = ...) -> None: ...

class BrowseDataSourceResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_connector_pb2.Entry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_connector_pb2.Entry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class InspectDataSourceRequest(_message.Message):
    __slots__ = ("id", "path", "refresh", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    refresh: bool
    version: str
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ..., refresh: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class InspectDataSourceResponse(_message.Message):
    __slots__ = ("schema",)
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    schema: _connector_pb2.InspectResponse
    def __init__(self, schema: _Optional[_Union[_connector_pb2.InspectResponse, _Mapping]] = ...) -> None: ...

class PreviewDataSourceRequest(_message.Message):
    __slots__ = ("id", "selection", "rows")
    ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    id: str
    selection: _connector_pb2.Selection
    rows: int
    def __init__(self, id: _Optional[str] = ..., selection: _Optional[_Union[_connector_pb2.Selection, _Mapping]] = ..., rows: _Optional[int] = ...) -> None: ...

class PreviewDataSourceResponse(_message.Message):
    __slots__ = ("preview",)
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    preview: _connector_pb2.PreviewResponse
    def __init__(self, preview: _Optional[_Union[_connector_pb2.PreviewResponse, _Mapping]] = ...) -> None: ...

class ProfileDataSourceRequest(_message.Message):
    __slots__ = ("id", "path", "refresh")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    refresh: bool
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ..., refresh: _Optional[bool] = ...) -> None: ...

class ProfileDataSourceResponse(_message.Message):
    __slots__ = ("profile",)
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    profile: _connector_pb2.ProfileResponse
    def __init__(self, profile: _Optional[_Union[_connector_pb2.ProfileResponse, _Mapping]] = ...) -> None: ...

class FetchDataSourceRequest(_message.Message):
    __slots__ = ("id", "selection", "format", "limits")
    ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    id: str
    selection: _connector_pb2.Selection
    format: _connector_pb2.Format
    limits: _connector_pb2.Limits
    def __init__(self, id: _Optional[str] = ..., selection: _Optional[_Union[_connector_pb2.Selection, _Mapping]] = ..., format: _Optional[_Union[_connector_pb2.Format, str]] = ..., limits: _Optional[_Union[_connector_pb2.Limits, _Mapping]] = ...) -> None: ...

class FetchDataSourceResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _connector_pb2.FetchResponse
    def __init__(self, event: _Optional[_Union[_connector_pb2.FetchResponse, _Mapping]] = ...) -> None: ...

class ListTemplatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTemplatesResponse(_message.Message):
    __slots__ = ("types",)
    TYPES_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedCompositeFieldContainer[_connector_pb2.DescribeResponse]
    def __init__(self, types: _Optional[_Iterable[_Union[_connector_pb2.DescribeResponse, _Mapping]]] = ...) -> None: ...

class FileInfo(_message.Message):
    __slots__ = ("id", "name", "size_bytes", "media_type", "purpose", "created_at", "url", "run_id", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    size_bytes: int
    media_type: str
    purpose: str
    created_at: _timestamp_pb2.Timestamp
    url: str
    run_id: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., purpose: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., url: _Optional[str] = ..., run_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UploadFileRequest(_message.Message):
    __slots__ = ("start", "piece")
    START_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    start: UploadFileStart
    piece: bytes
    def __init__(self, start: _Optional[_Union[UploadFileStart, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class UploadFileStart(_message.Message):
    __slots__ = ("name", "purpose")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    name: str
    purpose: str
    def __init__(self, name: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class UploadFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: FileInfo
    def __init__(self, file: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("files", "next_page_token")
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileInfo]
    next_page_token: str
    def __init__(self, files: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetFileRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetFileResponse(_message.Message):
    __slots__ = ("file",)
    FILE_FIELD_NUMBER: _ClassVar[int]
    file: FileInfo
    def __init__(self, file: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class DownloadFileRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DownloadFileResponse(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: FileInfo
    piece: bytes
    def __init__(self, header: _Optional[_Union[FileInfo, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class DeleteFileRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteFileResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
