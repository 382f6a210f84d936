"""Schemas of what HTTP answers. What a contract's message becomes is made from that message."""

from isobath.analyst.v1 import access_pb2 as access
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from services.gateway.access.scopes import WORDS
from services.gateway.guards import GUARDED
from services.gateway.http.reference.contract import Messages, Schema
from services.gateway.http.reference.forms import (
    always,
    by_name,
    listing,
    many,
    maybe,
    members,
    number,
    or_null,
    record,
    ref,
    seconds,
    text,
    truth,
    whole,
)
from services.gateway.openai import TYPES

# as `messages.plain` writes them, and as ProtoJSON
PLAIN = Messages(plain=True)
EVENTS = Messages(plain=False, prefix="Event")


_IDS = {
    "id": text(),
    "owner": text("Whom it belongs to."),
}
_QUOTA = PLAIN.ref(access.Quota)
_SCOPE = text("What it may do.", enum=list(WORDS))
_TEAMS = many(text(), 'Teams whose members may see and ask it; `"*"` is everybody.')

_GUARDED = text(enum=list(GUARDED))

ERROR = record(
    {
        "error": record(
            {
                "message": text("What happened, for a person."),
                "type": text(
                    "OpenAI's word for it.", enum=[*dict.fromkeys(TYPES.values()), "api_error"]
                ),
                "param": or_null(text("The field that is wrong.")),
                "code": text("The reason in lower case."),
                "reason": text("The word of the table of reasons."),
                "remedy": text("What to do, for a person; may be empty."),
                "details": by_name(text(), "What the reason's fields are, and `request_id`."),
                "request_id": text("The word to look for in the logs."),
            }
        )
    },
    "Every failure, of every route.",
)

DATA_SOURCE = record(
    {
        **_IDS,
        "object": always("data_source"),
        "name": text("Unique for its owner."),
        "type": text("Such as `postgresql`."),
        "description": text("For people and the model."),
        "teams": _TEAMS,
        "approval": many(_GUARDED, "What a run may do with it only after a person approved it."),
        "guide": PLAIN.ref(analyst.Guide),
        "config": by_name({}, "The public settings, as the type's template describes them."),
        "secrets_set": many(text(), "The names of the secret fields that are set."),
        "version": whole("Counts changes of settings and secrets."),
        "created_at": seconds("When it was made"),
        "updated_at": seconds("When it was last changed"),
    }
)
TEMPLATE = record(
    {
        "object": always("data_source_template"),
        **members(PLAIN.schema(connector.DescribeResponse)),
    },
    "A type of source: what it needs and what it can do.",
)
CHECK = record(
    {
        "ok": truth("Every step passed."),
        **members(PLAIN.schema(connector.CheckResponse), without="latency"),
        "latency_ms": whole("Of one exchange with the source."),
    }
)
_CELL = {
    "description": "numerics as text, so that no digit is lost; bytes in base 64; times in ISO 8601"
}
_ROWS = {
    "columns": many(record({"name": text(), "type": text("Arrow's word.")})),
    "rows": many(many(_CELL)),
    "row_count": whole("How many came."),
    "truncated": truth("There are more."),
}
PREVIEW = record(_ROWS)
QUERY_RESULT = record(
    {
        **_ROWS,
        "truncated_by": text("The limit that cut it; empty otherwise."),
        "elapsed_ms": number("How long it took here."),
    }
)
FILE = record(
    {
        "id": text(),
        "object": always("file"),
        "filename": text(),
        "bytes": whole(),
        "created_at": seconds("When it came"),
        "purpose": text(
            "`user_data` of uploads, unless they say otherwise; `assistants_output` of artifacts."
        ),
        "status": always("processed"),
        "expires_at": or_null(seconds("When it goes by itself")),
        "media_type": text(),
        "url": text("Where its bytes are."),
    }
)
_RUN_FILE = record(
    {"name": text(), "url": text(), "id": text(), "media_type": text(), "bytes": whole()}
)
WRITTEN_FILE = record(
    {
        "file_id": text(),
        "source": text("Its name."),
        "path": text("In the source."),
        "bytes": maybe(whole("Where it was written.")),
        "etag": maybe(text("Where it was written.")),
        "reason": maybe(text("Where it was not: the word of the table of reasons.")),
        "message": maybe(text("Where it was not.")),
        "remedy": maybe(text("Where it was not.")),
    },
    "What became of a file that `artifacts_to` asked for.",
)
COUNTED = {
    "total_tokens": whole(),
    "rounds": whole("Programs that were run."),
    "fetched_bytes": whole(),
    "fetched_rows": whole(),
    "seconds": number(),
    "waited_seconds": number("Of them, for approvals."),
    "estimated": truth("Tokens are words: the engine has no tokenizer."),
}
USAGE = record({"prompt_tokens": whole(), "completion_tokens": whole(), **COUNTED})
RUN = record(
    {
        "id": text(),
        "object": always("run"),
        "thread_id": text(),
        "model": text(),
        "status": text(
            "How it stands.",
            enum=[name.removeprefix("RUN_STATE_").lower() for name in analyst.RunState.keys()[1:]],
        ),
        "created_at": seconds("When it began"),
        "ended_at": or_null(seconds("When it ended; null while it goes")),
        "last_sequence": whole("The number of its last event so far."),
        "usage": ref("Usage"),
        "error": or_null(record({"reason": text(), "message": text()}, "Of a run that failed.")),
    }
)
APPROVAL = record(
    {
        "id": text(),
        "object": always("approval"),
        "status": text(enum=["pending", "approved", "refused"]),
        "round": or_null(whole("The program that asks; null = the run itself, at its end.")),
        "source": text("Its name."),
        "source_id": text(),
        "operation": _GUARDED,
        "requested_at": seconds("When it was asked"),
        "expires_at": seconds("When it is refused by itself"),
        "sql": maybe(text("Of a query.")),
        "params": maybe(many({}, "Of a query.")),
        "path": maybe(text("Of a write: a file, or with `/` at its end a folder.")),
        "overwrite": maybe(truth("Of a write: over what is there.")),
        "comment": maybe(text("Once it is decided.")),
        "decided_by": maybe(or_null(text("Whose key or token; null = nobody's: see `how`."))),
        "how": maybe(
            text("What decided it.", enum=["person", "rest_of_run", "expired", "withdrawn"])
        ),
        "decided_at": maybe(seconds("When it was decided")),
    }
)
_THREAD = {
    "id": text(),
    "object": always("thread"),
    "title": text("Its first question."),
    "created_at": seconds("When it began"),
    "expires_at": seconds("When it goes by itself"),
}
FEEDBACK = record(
    {
        "object": always("feedback"),
        "given_by": text("The id of the key, or the subject of the token."),
        "rating": or_null(text("Null = only a correction.", enum=["up", "down", None])),
        "comment": text(),
        "correction": text("What the answer should have been, in Markdown."),
        "created_at": seconds("When it was said"),
    }
)
THREAD = record(_THREAD)
THREAD_TOLD = record(
    {
        **_THREAD,
        "messages": many(record({"role": text(), "content": text()})),
        "files": many(ref("RunFile"), "What its runs left."),
    }
)
MODEL = record(
    {
        "id": text("What requests name as `model`."),
        "object": always("model"),
        "created": whole(),
        "owned_by": text(),
        "agent": truth("True: the analyst, which runs programs. False: the plain model."),
        "description": text(),
    }
)
HEALTH = record(
    {
        "status": text(enum=["ok", "degraded"]),
        "services": by_name(text(enum=["SERVING", "NOT_SERVING", "UNREACHABLE"])),
    }
)
ALIVE = record({"status": always("alive")})
READINESS = record(
    {
        "status": text(enum=["ready", "degraded", "unready"]),
        "reason": text("What is away; empty where nothing is."),
        "dependencies": many(
            record(
                {
                    "name": text("database, credentials, sandbox, inference, or a connector."),
                    "state": text(
                        "SERVING, NOT_SERVING, UNREACHABLE, or of a database MIGRATIONS_PENDING."
                    ),
                    "essential": truth("The gateway is not ready without it."),
                    "since": text("When it was first seen so.", format="date-time"),
                }
            )
        ),
    }
)
TASK = record(
    {
        "name": text("Such as `run run-…`."),
        "at": many(text("file:line function"), "The outermost call first."),
    }
)
MEMORY = record(
    {
        "peak_rss_bytes": whole("The most that the process had so far."),
        "garbage_counts": many(whole(), "Objects in Python's three generations."),
        "tracing": truth("Allocations are traced."),
        "allocated": many(
            record({"at": text("file:line"), "bytes": whole(), "blocks": whole()}),
            "By line of code, the most first; empty where they are not traced.",
        ),
    }
)
USED = {
    "requests": whole(),
    "runs": whole(),
    "prompt_tokens": whole(),
    "completion_tokens": whole(),
    "rows": whole("Fetched from data sources."),
    "bytes": whole("Fetched from data sources."),
    "run_seconds": number("How long runs took, together."),
}
CALLER = record(
    {
        "object": always("caller"),
        "owner": text("Whom everything of this caller belongs to."),
        "key_id": text("The key's id, or `oidc:` and the token's subject."),
        "scope": _SCOPE,
        "teams": many(text()),
        "quota": _QUOTA,
        "today": record(USED, "Since midnight UTC."),
    }
)
_KEY = {
    **_IDS,
    "object": always("api_key"),
    "name": text("For people."),
    "scope": _SCOPE,
    "teams": many(text()),
    "quota": _QUOTA,
    "created_at": seconds("When it was made"),
    "last_used_at": or_null(seconds("To the minute; null = never yet")),
    "expires_at": or_null(seconds("Null = it does not expire")),
    "revoked_at": or_null(seconds("Null = it was not")),
}
KEY = record(_KEY)
KEY_MADE = record({**_KEY, "key": text("The key itself: shown this once, and kept nowhere.")})
USAGE_LINES = record(
    {
        **members(
            listing(
                record(
                    {
                        "day": text("Of UTC.", format="date"),
                        "owner": text(),
                        "key_id": text(),
                        **USED,
                    }
                )
            )
        ),
        "total": record(USED),
    }
)


def components() -> dict[str, Schema]:
    """All, by their names."""
    PLAIN.ref(connector.Entry)
    PLAIN.ref(connector.InspectResponse)
    PLAIN.ref(connector.ProfileResponse)
    PLAIN.ref(analyst.RunRecord)
    EVENTS.ref(analyst.Event)
    own = {
        "Error": ERROR,
        "DataSource": DATA_SOURCE,
        "DataSourceTemplate": TEMPLATE,
        "Check": CHECK,
        "Preview": PREVIEW,
        "QueryResult": QUERY_RESULT,
        "File": FILE,
        "RunFile": _RUN_FILE,
        "WrittenFile": WRITTEN_FILE,
        "Usage": USAGE,
        "Run": RUN,
        "Approval": APPROVAL,
        "RunFeedback": FEEDBACK,
        "Thread": THREAD,
        "ThreadTold": THREAD_TOLD,
        "Model": MODEL,
        "Memory": MEMORY,
        "Task": TASK,
        "Alive": ALIVE,
        "Health": HEALTH,
        "Readiness": READINESS,
        "Caller": CALLER,
        "Key": KEY,
        "KeyMade": KEY_MADE,
        "UsageLines": USAGE_LINES,
    }
    return {**PLAIN.components, **EVENTS.components, **own}
