"""Schemas of what HTTP takes. Bodies of OpenAI's APIs stay open: what is not said here is passed
over, unless its route's words say that it is refused."""

from isobath.analyst.v1 import access_pb2 as access
from servicekit.logs import LEVELS
from services.gateway import feedback
from services.gateway.access.scopes import WORDS
from services.gateway.approvals import MAX_COMMENT_CHARS
from services.gateway.feedback import RATINGS
from services.gateway.guards import GUARDED
from services.gateway.guide import MAX_NOTES, MAX_QUERIES
from services.gateway.history import ROLES
from services.gateway.http.reference.contract import Schema, comments
from services.gateway.http.reference.forms import (
    always,
    by_name,
    many,
    maybe,
    number,
    or_null,
    record,
    ref,
    text,
    truth,
    whole,
)
from services.gateway.plan import FORMATS, MAX_FILES, MAX_SELECTIONS, MAX_STOPS

_PARAMETERS = many(
    {"type": ["string", "number", "boolean", "null"]}, "Bound to `$1`, `$2` … of the query."
)
_WHAT = {
    "path": maybe(text("A blob or a glob; of a database, a relation.")),
    "table": maybe(text("A relation, such as `public.orders`.")),
    "query": maybe(text("SQL, which is checked to read only.")),
    "sql": maybe(text("Another word for `query`.")),
    "params": maybe(_PARAMETERS),
    "parameters": maybe({**_PARAMETERS, "description": "Another word for `params`."}),
    "version": maybe(text("An earlier state of one blob, as browse gives it.")),
    "limit": maybe(or_null(whole("Rows at most; 0 lifts the default.", minimum=0))),
    "max_bytes": maybe(
        or_null(whole("Bytes at most; 0 = as many as the platform allows.", minimum=0))
    ),
    "timeout_s": maybe(or_null(number("Seconds at most.", exclusiveMinimum=0))),
}
SELECTION = record(
    {
        "source": maybe(text("The source's name, or its id.")),
        "source_id": maybe(text("Its id: another word for `source`.")),
        "name": maybe(text("Another word for `source`.")),
        "type": maybe(text("Checked against the source where it is given.")),
        **_WHAT,
        "format": maybe(
            text(
                "CSV for tables and queries and the blob as it is where nothing is said.",
                enum=["", *FORMATS],
            )
        ),
        "as": maybe(text("The file's name in the workspace.")),
        "target": maybe(text("Another word for `as`.")),
    },
    "One piece of data: a source, and at most one of `path`, `table` and `query`. With none of them"
    " nothing is fetched: the model is told what the source holds, and its code queries it.",
)
SELECTION["anyOf"] = [{"required": [name]} for name in ("source", "source_id", "name")]

ARTIFACTS_TO = record(
    {
        "source": maybe(text("A source's name or id; its type must store files.")),
        "source_id": maybe(text("Another word for `source`.")),
        "prefix": text(
            "A folder of the source, such as `results/{run_id}/`; `{run_id}` and `{thread_id}`"
            " stand for the run's own."
        ),
        "overwrite": maybe(truth("Put them over what is there.")),
    },
    "Where the report, figures and files of a run are also written at its end.",
)
_GUARDED = many(text(enum=list(GUARDED)), "What waits for a person's approval each time.")
_PART = record(
    {
        "type": text(enum=["text", "input_text", "output_text", "refusal", "file"]),
        "text": maybe(text()),
        "refusal": maybe(text()),
        "file": maybe(record({"file_id": text("An uploaded file.")})),
    }
)
_DATA = {
    "data_sources": maybe(
        or_null(many(ref("Selection"), "What the question is about.", maxItems=MAX_SELECTIONS))
    ),
    "file_ids": maybe(or_null(many(text(), "Uploaded files, likewise.", maxItems=MAX_FILES))),
    "thread_id": maybe(or_null(text("Go on in that thread. Empty or missing = a new one."))),
    "artifacts_to": maybe(
        or_null(ref("ArtifactsTo") | {"description": "Write what the run leaves there too."})
    ),
    "approval": maybe(or_null(_GUARDED)),
}
MESSAGE = record(
    {
        "role": text(
            "`tool`, `function` and `execute` give what was run earlier.", enum=list(ROLES)
        ),
        "content": maybe(
            {
                "anyOf": [text(), many(_PART), {"type": "null"}],
                "description": "Text, or parts of it.",
            }
        ),
        "name": maybe(text("Passed over.")),
        **_DATA,
    },
    "In the last message the data may stand too.",
)
QUESTION = record(
    {
        "model": maybe(or_null(text("One of `GET /v1/models`. Missing = the analyst."))),
        "messages": many(
            ref("Message"), "The last one, of role `user`, is the question.", minItems=1
        ),
        **_DATA,
        "temperature": maybe(or_null(number("Missing = the model's.", minimum=0, maximum=2))),
        "max_rounds": maybe(or_null(whole("Programs at most.", minimum=0))),
        "top_p": maybe(or_null(number("Missing = the model's.", minimum=0, maximum=1))),
        "seed": maybe(or_null(whole("The same again, where the engine can."))),
        "stop": maybe(
            {
                "anyOf": [text(), many(text(), maxItems=MAX_STOPS), {"type": "null"}],
                "description": "Of a model without the analyst only.",
            }
        ),
        "max_tokens": maybe(or_null(whole("Tokens of the whole run at most.", minimum=1))),
        "max_completion_tokens": maybe(
            or_null(whole("The newer word for `max_tokens`.", minimum=1))
        ),
        "n": maybe({"enum": [1, None], "description": "A run gives one answer."}),
        "metadata": maybe(or_null(by_name({}, "Of it, `thread_id` is read."))),
    }
)
_HOLD = truth("False: a stream begins at once, and a fault of the fetch is told in it.")
CHAT: Schema = {
    **QUESTION,
    "properties": {
        **QUESTION["properties"],
        "stream": or_null(truth("Answer as server-sent events.")),
        "stream_options": or_null(
            {
                "type": "object",
                "description": "Of a stream.",
                "properties": {"include_usage": truth("A last chunk with the usage.")},
            }
        ),
        "detach": or_null(truth("The run goes on when this connection ends.")),
        "hold": or_null(_HOLD),
    },
}
_INPUT_PART = record(
    {
        "type": text(enum=["text", "input_text", "output_text", "input_file"]),
        "text": maybe(text()),
        "file_id": maybe(text("Of an `input_file`: an uploaded file.")),
    }
)
INPUT_ITEM = record(
    {
        "type": maybe(
            text(
                "Missing = `message`.",
                enum=["message", "reasoning", "code_interpreter_call", "item_reference"],
            )
        ),
        "role": maybe(text("Of a message.", enum=list(ROLES))),
        "content": maybe(
            {
                "anyOf": [text(), many(_INPUT_PART), {"type": "null"}],
                "description": "Text, or parts: of text, and of uploaded files.",
            }
        ),
        **_DATA,
    },
    "A message. Items of earlier responses are passed over: the thread has them.",
)
RESPOND = record(
    {
        "model": maybe(or_null(text("One of `GET /v1/models`. Missing = the analyst."))),
        "input": {
            "anyOf": [text(), many(ref("InputItem"))],
            "description": "The question; or items, of which the last message is it.",
        },
        "instructions": maybe(or_null(text("What the analyst should heed."))),
        "previous_response_id": maybe(or_null(text("Go on in that response's thread."))),
        "conversation": maybe(
            {
                "anyOf": [text(), record({"id": text()}), {"type": "null"}],
                "description": "A thread's id, or an object with it: go on in that thread.",
            }
        ),
        "stream": maybe(or_null(truth("Answer as server-sent events."))),
        "background": maybe(or_null(truth("The run goes on by itself."))),
        "hold": maybe(or_null(_HOLD)),
        "max_output_tokens": maybe(or_null(whole("Tokens of the whole run at most.", minimum=0))),
        "max_tool_calls": maybe(or_null(whole("Programs at most.", minimum=0))),
        "max_rounds": maybe(or_null(whole("Another word for `max_tool_calls`.", minimum=0))),
        "temperature": maybe(or_null(number("Missing = the model's.", minimum=0, maximum=2))),
        "top_p": maybe(or_null(number("Missing = the model's.", minimum=0, maximum=1))),
        "metadata": maybe(or_null(by_name({}, "Given back as it is."))),
        **_DATA,
    }
)
QUERY = record(_WHAT, "One of `query` (or `sql`), `table` and `path`.")

_CONFIG = by_name({}, "The public settings, as the type's template describes them.")
_TEAMS = many(text(), 'Teams whose members may see and ask it; `"*"` is everybody.')
_GUIDE = record(
    {
        "notes": maybe(
            by_name(
                text(minLength=1, maxLength=1000),
                f"By path, or path#column: of a relation, a blob or a glob. At most {MAX_NOTES:,}.",
            )
        ),
        "queries": maybe(
            many(
                record(
                    {
                        "question": text("As a person would ask it.", minLength=1),
                        "sql": text("What answers it.", minLength=1),
                    }
                ),
                "Queries that are known to be right.",
                maxItems=MAX_QUERIES,
            )
        ),
    },
    "What the model is told of a source beyond its schema.",
)
SOURCE_DRAFT = record(
    {
        "name": text("Letters, digits, `-` and `_`; unique for its owner."),
        "type": text("One of the templates' types."),
        "description": maybe(text("For people and the model.")),
        "config": maybe(or_null(_CONFIG)),
        "secrets": maybe(
            or_null(by_name(text(), "They go to the credential service, and never come back."))
        ),
        "teams": maybe(or_null(_TEAMS)),
        "approval": maybe(or_null(_GUARDED)),
        "guide": maybe(or_null(_GUIDE)),
    }
)
SOURCE_CHANGE = record(
    {
        "name": maybe(text("Another name, unique for its owner.")),
        "description": maybe(text("For people and the model.")),
        "config": maybe(
            _CONFIG
            | {"description": "Replaces the settings whole; every secret must come with it."}
        ),
        "secrets": maybe(
            by_name(
                {"type": ["string", "null"]},
                "Fields to set; null removes one. Those left out stay.",
            )
        ),
        "teams": maybe(_TEAMS | {"description": "Replaces the teams whole."}),
        "approval": maybe(_GUARDED),
        "guide": maybe(_GUIDE | {"description": "Replaces the guide whole."}),
    }
)
_BOUNDS = {
    field.name: maybe(whole(comments()[field.full_name], minimum=0))
    for field in access.Quota.DESCRIPTOR.fields
}
_QUOTA = record(
    _BOUNDS,
    "0 or missing = as much as the platform allows. Days are those of UTC.",
)
KEY_DRAFT = record(
    {
        "owner": maybe(text("Whom it is for. Missing = the caller's own owner.")),
        "name": maybe(text("For people, such as `nightly report`.")),
        "scope": maybe(text("Missing = `analyst`.", enum=["", *WORDS])),
        "teams": maybe(or_null(many(text(), "Whose shared sources it opens."))),
        "quota": maybe(or_null(_QUOTA)),
        "lifetime_s": maybe(
            or_null(number("Seconds. Missing = it does not expire.", exclusiveMinimum=0))
        ),
    }
)
KEY_CHANGE = record(
    {
        "name": maybe(text("For people.")),
        "teams": maybe(or_null(many(text(), "Replaces the teams whole."))),
        "quota": maybe(or_null(_QUOTA | {"description": "Replaces the quota whole."})),
    }
)
LOG_LEVEL = record({"level": text("From this level on.", enum=list(LEVELS))})
DECISION = record(
    {
        "approved": truth("False refuses it."),
        "approval_id": maybe(text("Missing = the only one that the run waits for.")),
        "comment": maybe(
            text("Kept with it; the model reads why it was refused.", maxLength=MAX_COMMENT_CHARS)
        ),
        "rest_of_run": maybe(
            or_null(truth("The same for all that the run will ask of this kind and source."))
        ),
    }
)
OPINION = record(
    {
        "rating": maybe(text("Whether the answer was right.", enum=["", *RATINGS])),
        "comment": maybe(text("Why.", maxLength=feedback.MAX_COMMENT_CHARS)),
        "correction": maybe(
            text(
                "What the answer should have been, in Markdown.",
                maxLength=feedback.MAX_CORRECTION_CHARS,
            )
        ),
    },
    "A rating, a correction, or both.",
)
UPLOAD = record(
    {
        "file": text("The file, with its name.", format="binary"),
        "purpose": maybe(text("Missing = `user_data`.")),
        "expires_after[anchor]": maybe(
            always("created_at") | {"description": "What `seconds` count from."}
        ),
        "expires_after[seconds]": maybe(
            whole("It goes by itself then.", minimum=3600, maximum=30 * 24 * 3600)
        ),
    }
)


def components() -> dict[str, Schema]:
    """All, by their names."""
    return {
        "ChatBody": CHAT,
        "Question": QUESTION,
        "Message": MESSAGE,
        "Selection": SELECTION,
        "ArtifactsTo": ARTIFACTS_TO,
        "ResponseBody": RESPOND,
        "InputItem": INPUT_ITEM,
        "QueryBody": QUERY,
        "DataSourceDraft": SOURCE_DRAFT,
        "DataSourceChange": SOURCE_CHANGE,
        "KeyDraft": KEY_DRAFT,
        "KeyChange": KEY_CHANGE,
        "Decision": DECISION,
        "Opinion": OPINION,
        "LogLevel": LOG_LEVEL,
        "Upload": UPLOAD,
    }
