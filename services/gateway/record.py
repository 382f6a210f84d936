"""A run as training reads it: what the model saw and wrote, how it ended, what is thought of it.
Pure.

A line of a file of records is the JSON of `analyst.RunRecord`, with the names of its fields.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.conversation import Message
from services.gateway.messages import plain

FORMAT = "isobath.run/1"
# of a conversation's texts: who reads it over gRPC takes 4 MiB where nothing else is set, and
# feedback needs some of it. The model's own context, 131,072 tokens, is some 0.5 MiB
MAX_BYTES = 3 * 1024 * 1024
# level 6 takes three times as long, for a tenth less
_LEVEL = 3
_STATES = {
    analyst.RUN_STATE_COMPLETED: "completed",
    analyst.RUN_STATE_FAILED: "failed",
    analyst.RUN_STATE_INTERRUPTED: "failed",
    analyst.RUN_STATE_CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class Transcript:
    """What the model saw and wrote in a run. `sources` are (name, type)."""

    question: str
    sources: Sequence[tuple[str, str]]
    messages: Sequence[Message]

    @property
    def size_bytes(self) -> int:
        """Of its texts."""
        texts = [self.question, *(each.content for each in self.messages)]
        return sum(len(text.encode()) for text in texts)

    def packed(self) -> bytes | None:
        """As the database keeps it; None where it is larger than `MAX_BYTES`."""
        if self.size_bytes > MAX_BYTES:
            return None
        told = {
            "question": self.question,
            "sources": [list(each) for each in self.sources],
            "messages": [[each.role, each.content] for each in self.messages],
        }
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        return zlib.compress(text.encode(), _LEVEL)

    @classmethod
    def unpacked(cls, data: bytes) -> "Transcript":
        """What was packed."""
        told = json.loads(zlib.decompress(data))
        return cls(
            question=told["question"],
            sources=tuple((name, type) for name, type in told["sources"]),
            messages=tuple(Message(role, content) for role, content in told["messages"]),
        )


def record(
    run: analyst.Run,
    transcript: Transcript,
    feedback: Iterable[analyst.Feedback] = (),
    *,
    ended_by: str,
    cut: bool,
) -> analyst.RunRecord:
    """Of a run that has ended."""
    used = run.usage
    return analyst.RunRecord(
        format=FORMAT,
        run_id=run.run_id,
        thread_id=run.thread_id,
        model=run.model,
        state=_STATES[run.state],
        ended_by=ended_by,
        error_reason=run.error_reason,
        created_at=run.created_at,
        ended_at=run.ended_at,
        question=transcript.question,
        sources=[analyst.RecordedSource(name=name, type=type) for name, type in transcript.sources],
        messages=[
            analyst.RecordedMessage(role=each.role, content=each.content)
            for each in transcript.messages
        ],
        cut=cut,
        usage=analyst.RecordedUsage(
            rounds=used.rounds,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            seconds=used.elapsed.ToMilliseconds() / 1000,
        ),
        feedback=feedback,
    )


def as_json(record: analyst.RunRecord) -> dict[str, Any]:
    """Every field, also those that are empty, in the contract's order."""
    told = plain(record, defaults=True)
    return {field.name: told[field.name] for field in record.DESCRIPTOR.fields}


def line(record: analyst.RunRecord) -> bytes:
    """Of a file of records, with its end."""
    return json.dumps(as_json(record), ensure_ascii=False).encode() + b"\n"
