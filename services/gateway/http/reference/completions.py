"""Schemas of what OpenAI's clients read: completions, their chunks, and responses."""

from services.gateway.http.reference.contract import Schema
from services.gateway.http.reference.forms import (
    always,
    by_name,
    many,
    maybe,
    number,
    or_null,
    record,
    ref,
    seconds,
    text,
    truth,
    typed,
    whole,
)
from services.gateway.http.reference.schemas import COUNTED, ERROR

_CONTENT = text("The model's tagged text, and what the platform wrote between.")
COMPLETION = record(
    {
        "id": text(),
        "object": always("chat.completion"),
        "created": seconds("When it began"),
        "model": text(),
        "choices": many(
            record(
                {
                    "index": whole(),
                    "message": record(
                        {
                            "role": always("assistant"),
                            "content": _CONTENT,
                            "thread_id": text(),
                            "files": many(ref("RunFile")),
                        }
                    ),
                    "finish_reason": text("`length`: a bound ended it.", enum=["stop", "length"]),
                }
            )
        ),
        "usage": ref("Usage"),
        "generated_files": many(ref("RunFile"), "Report, figures and files that the run left."),
        "attached_files": many(text(), "Paths in the workspace of what was fetched."),
        "written_files": many(ref("WrittenFile")),
        "run_id": text(),
        "thread_id": text("To go on in it."),
    }
)
CHUNK = record(
    {
        "id": maybe(text()),
        "object": maybe(always("chat.completion.chunk")),
        "created": maybe(whole()),
        "model": maybe(text()),
        "choices": maybe(
            many(
                record(
                    {
                        "index": whole(),
                        "delta": record(
                            {
                                "role": maybe(always("assistant")),
                                "content": maybe(_CONTENT),
                                "files": maybe(many(ref("RunFile"))),
                                "thread_id": maybe(text()),
                            }
                        ),
                        "finish_reason": or_null(text()),
                    }
                )
            )
        ),
        "usage": maybe(ref("Usage")),
        "isobath": maybe(ref("Event")),
        "generated_files": maybe(many(ref("RunFile"), "In the last chunk.")),
        "written_files": maybe(many(ref("WrittenFile"), "In the last chunk.")),
        "error": maybe({**ERROR["properties"]["error"], "description": "Of a run that failed."}),
    },
    "One `data:` line of a streamed answer. The last line is `data: [DONE]`.",
)

_STATUS = text(enum=["in_progress", "interpreting", "completed", "incomplete", "failed"])
_ITEM = {"id": text(), "status": _STATUS}
_ANNOTATION = record(
    {
        "type": always("container_file_citation"),
        "container_id": text(),
        "file_id": text(),
        "filename": text(),
        "start_index": whole(),
        "end_index": whole(),
    }
)
OUTPUT_ITEM: Schema = {
    "oneOf": [
        record(
            {
                **_ITEM,
                "type": always("reasoning"),
                "summary": many(record({"type": always("summary_text"), "text": text()})),
            }
        ),
        record(
            {
                **_ITEM,
                "type": always("code_interpreter_call"),
                "container_id": text(),
                "code": text(),
                "outputs": many(
                    record(
                        {
                            "type": text(enum=["logs", "image"]),
                            "logs": maybe(text("What the program printed.")),
                            "url": maybe(text("A figure.")),
                        }
                    )
                ),
            }
        ),
        record(
            {
                **_ITEM,
                "type": always("message"),
                "role": always("assistant"),
                "content": many(
                    record(
                        {
                            "type": always("output_text"),
                            "text": text(),
                            "annotations": many(_ANNOTATION, "Where the text links to files."),
                        }
                    )
                ),
            }
        ),
    ]
}
RESPONSE = record(
    {
        "id": text(),
        "object": always("response"),
        "created_at": seconds("When it began"),
        "status": text(
            enum=["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
        ),
        "model": text(),
        "output": many(ref("OutputItem")),
        "error": or_null(
            record(
                {
                    "code": text(),
                    "message": text(),
                    "reason": text(),
                    "remedy": text(),
                    "details": by_name(text()),
                }
            )
        ),
        "incomplete_details": or_null(
            record({"reason": text(), "bound": text("`rounds`, `tokens` or `time`.")})
        ),
        "instructions": or_null(text()),
        "metadata": by_name({}),
        "previous_response_id": or_null(text()),
        "parallel_tool_calls": truth(),
        "temperature": or_null(number()),
        "top_p": or_null(number()),
        "tool_choice": text(),
        "tools": many({}),
        "text": by_name({}),
        "usage": or_null(
            record(
                {
                    "input_tokens": whole(),
                    "input_tokens_details": by_name(whole()),
                    "output_tokens": whole(),
                    "output_tokens_details": by_name(whole()),
                    **COUNTED,
                }
            )
        ),
        "thread_id": maybe(text()),
        "conversation": maybe(record({"id": text("The thread.")})),
        "generated_files": maybe(many(ref("RunFile"))),
        "written_files": maybe(many(ref("WrittenFile"))),
        "max_output_tokens": maybe(whole()),
        "background": maybe(truth()),
    }
)
INPUT_ITEMS = record(
    {
        "object": always("list"),
        "data": many(typed("object", additionalProperties=True), "Items as they were given."),
        "has_more": truth(),
        "first_id": or_null(text()),
        "last_id": or_null(text()),
    }
)
RESPONSE_EVENT = typed(
    "object",
    "One event of a streamed response, as OpenAI's API has them.",
    properties={"type": text(), "sequence_number": whole(), "response": ref("Response")},
    required=["type", "sequence_number"],
    additionalProperties=True,
)


def components() -> dict[str, Schema]:
    """All, by their names."""
    return {
        "Completion": COMPLETION,
        "CompletionChunk": CHUNK,
        "OutputItem": OUTPUT_ITEM,
        "InputItems": INPUT_ITEMS,
        "Response": RESPONSE,
        "ResponseEvent": RESPONSE_EVENT,
    }
