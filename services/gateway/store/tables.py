"""The gateway's tables. Times are milliseconds since 1970 UTC, whatever the database."""

import time

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite counts up by itself only where the column is its INTEGER
NUMBER = BigInteger().with_variant(Integer, "sqlite")


def now_ms() -> int:
    """The time as the tables keep it."""
    return time.time_ns() // 1_000_000


class Base(DeclarativeBase):
    """All tables of this service."""

    type_annotation_map = {int: BigInteger}  # noqa: RUF012  # SQLAlchemy's own way to say it


class ApiKey(Base):
    """A key is kept as a keyed hash only; `keyed` is false for those of the first schema until the
    gateway starts, which are plain SHA-256. `scope` is a number of analyst.v1.Scope."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    keyed: Mapped[bool]
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[int]
    teams_json: Mapped[str] = mapped_column(Text)
    quota_json: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]
    last_used_ms: Mapped[int | None]
    expires_ms: Mapped[int | None]
    revoked_ms: Mapped[int | None]


class UsageRow(Base):
    """What one caller used on one day of UTC, such as "2026-11-24"."""

    __tablename__ = "usage"
    key_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True, index=True)
    owner: Mapped[str] = mapped_column(String(200))
    requests: Mapped[int]
    runs: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    rows: Mapped[int]
    bytes: Mapped[int]
    run_ms: Mapped[int]


class SourceRow(Base):
    """A data source; its secrets lie with the credential service."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("owner", "name"),)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text)
    config_json: Mapped[str] = mapped_column(Text)
    secrets_set: Mapped[str] = mapped_column(Text)
    guide_json: Mapped[str] = mapped_column(Text)
    # words of `approvals.GUARDED` with spaces between them
    approval: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    created_ms: Mapped[int]
    updated_ms: Mapped[int]


class SharedRow(Base):
    """A source that a team's members may see and ask; team "*" is everybody."""

    __tablename__ = "shared_sources"
    source_id: Mapped[str] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True
    )
    team: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)


class ThreadRow(Base):
    """A thread: a workspace and what was said."""

    __tablename__ = "threads"
    id: Mapped[str] = mapped_column(String(60), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200), index=True)
    title: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]
    expires_ms: Mapped[int] = mapped_column(index=True)


class PlacementRow(Base):
    """The replica of the sandbox that a thread's sessions go to. `origins`: others, with spaces
    between them, of which one may have the workspace still; `used_ms`: when a session was opened
    last, None of none yet; `version` counts the changes of all these replicas."""

    __tablename__ = "placements"
    owner: Mapped[str] = mapped_column(String(200), primary_key=True)
    thread_id: Mapped[str] = mapped_column(String(60), primary_key=True)
    replica: Mapped[str] = mapped_column(String(300), index=True)
    origins: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    since_ms: Mapped[int]
    used_ms: Mapped[int | None]


class MessageRow(Base):
    """One message of a thread, as the client saw it."""

    __tablename__ = "messages"
    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id"), index=True)
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]


class RunRow(Base):
    """A run; `state` is a name of analyst.v1.RunState without its prefix, in lower case."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("runs_by_owner", "owner", "created_ms"),
        # what clearing looks for
        Index("runs_by_end", "ended_ms"),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    thread_id: Mapped[str] = mapped_column(String(60), index=True)
    model: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    # of the plan that came with the key; "" in rows of earlier schemas
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    # Plan.request; read only where it is told again
    request_json: Mapped[str | None] = mapped_column(Text, deferred=True)
    created_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    last_sequence: Mapped[int]
    usage: Mapped[bytes] = mapped_column(LargeBinary)
    error_reason: Mapped[str] = mapped_column(String(60))
    error_message: Mapped[str] = mapped_column(Text)


class EventRow(Base):
    """Events of a run that follow one another: `sequence` is the last one's, `event` holds `size`
    of them as `event_pages` has it."""

    __tablename__ = "events"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(Integer, server_default="1")
    event: Mapped[bytes] = mapped_column(LargeBinary)


class ConversationRow(Base):
    """What the model saw and wrote in a run that has ended, see `record`."""

    __tablename__ = "run_conversations"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    ended_by: Mapped[str] = mapped_column(String(20))
    cut: Mapped[bool]
    # of its texts
    size_bytes: Mapped[int]
    # None = they are more than is kept
    content: Mapped[bytes | None] = mapped_column(LargeBinary)


class FeedbackRow(Base):
    """What a caller thinks of a run; `caller` is the key's id, or the token's subject."""

    __tablename__ = "run_feedback"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    caller: Mapped[str] = mapped_column(String(200), primary_key=True)
    # "up", "down" or ""
    rating: Mapped[str] = mapped_column(String(10))
    comment: Mapped[str] = mapped_column(Text)
    correction: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]


class LeaseRow(Base):
    """A run that goes, and which gateway goes with it; gone when the run has ended. A table of its
    own, because it is written to all the time and small: that of all runs is neither."""

    __tablename__ = "run_leases"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    # of the caller that asked
    key_id: Mapped[str] = mapped_column(String(200), index=True)
    # a thread has one run at a time; None = a run without one
    thread_id: Mapped[str | None] = mapped_column(String(60), unique=True)
    # "" = no gateway's: whichever takes it first goes on with it
    holder: Mapped[str] = mapped_column(String(40), index=True)
    # by the database's own clock; whose lease is not renewed by then is interrupted
    ends_ms: Mapped[int]
    # what another gateway goes on from, see `checkpoint`
    checkpoint: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class CommandRow(Base):
    """What a run's holder is asked to do with it; gone when that is done, or the run has ended."""

    __tablename__ = "run_commands"
    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    run_id: Mapped[str] = mapped_column(
        ForeignKey("run_leases.run_id", ondelete="CASCADE"), index=True
    )
    # "cancel" or "decide"
    kind: Mapped[str] = mapped_column(String(20))
    body_json: Mapped[str] = mapped_column(Text)
    created_ms: Mapped[int]


class BucketRow(Base):
    """Of one caller, what its requests in a minute are counted by, in all gateways together."""

    __tablename__ = "request_buckets"
    key_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    # when it will be full again, by the database's own clock
    full_ms: Mapped[float] = mapped_column(Double)


class FileRow(Base):
    """An upload or an artifact; its bytes lie in the file store under its id."""

    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200), index=True)
    name: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int]
    media_type: Mapped[str] = mapped_column(String(200))
    purpose: Mapped[str] = mapped_column(String(40))
    thread_id: Mapped[str] = mapped_column(String(60), index=True)
    run_id: Mapped[str] = mapped_column(String(40))
    created_ms: Mapped[int]
    # None = kept until it is deleted
    expires_ms: Mapped[int | None] = mapped_column(index=True)


class AuditRow(Base):
    """Who did what to which data."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    at_ms: Mapped[int]
    owner: Mapped[str] = mapped_column(String(200))
    caller: Mapped[str] = mapped_column(String(200))
    operation: Mapped[str] = mapped_column(String(60))
    source_id: Mapped[str] = mapped_column(String(40))
    request_id: Mapped[str] = mapped_column(String(128))
    detail: Mapped[str] = mapped_column(Text)
