"""Every operation of the HTTP API, by method and path: parameters, body, answers, errors.

A new route gets its entry here; its docstring becomes summary and description. Tests hold that no
route is without an entry, and hold every exchange of the gateway's tests against it.
"""

from collections.abc import Mapping
from typing import Any

from services.gateway.access.scopes import Scope
from services.gateway.diagnosis import LONGEST_S, MAX_LINES
from services.gateway.http.reference.contract import Schema
from services.gateway.http.reference.forms import (
    deleted,
    listing,
    record,
    ref,
    text,
    truth,
    whole,
)
from services.gateway.http.reference.operation import (
    EVENT_STREAM,
    JSON,
    Answer,
    Operation,
    Parameter,
)
from services.gateway.pages import LARGEST

BYTES: Schema = {"type": "string", "format": "binary"}


def _json(schema: Schema, said: str) -> dict[int, Answer]:
    return {200: Answer(said, {JSON: schema})}


def _query(name: str, said: str, *, required: bool = False, **more: Any) -> Parameter:
    return Parameter(name, text(**more), said, required)


def _flag(name: str, said: str) -> Parameter:
    return Parameter(name, truth(), said)


def _header(name: str, said: str) -> Parameter:
    return Parameter(name, text(), said, place="header")


def _sized(name: str = "page_size", most: int = LARGEST) -> tuple[Parameter, ...]:
    size = whole(minimum=0, maximum=most)
    return (
        Parameter(name, size, f"At most {LARGEST:,}. Missing = 100."),
        _query("page_token", "`next_page_token` of the page before."),
    )


_REFRESH = _flag("refresh", "Look anew, also where the answer is kept.")
_PATH = _query("path", "A relation, a blob, or a glob as one table.", required=True)
_BLOB = _query("path", "A relation or a blob.", required=True)
_VERSION = _query("version", "Of an entry that browse gave. Missing = the state of now.")
_AGAIN = _header(
    "Idempotency-Key",
    "The same key from the same owner within a day gives the run that it gave before; with another"
    " question it is refused.",
)
_THREAD = _header("X-Thread-Id", "A thread, where the body names none.")
# what a source's connector may answer
SOURCE = (404, 409, 413, 422, 502, 504)
# what may befall a run before it answers
RUN = (404, 409, 413, 422, 499, 502, 504)
_OCTETS = "*/*"

# what stands in a path's braces, by the beginning of the path
PLACES: Mapping[str, str] = {
    "/v1/data-sources/": "A source's name or id.",
    "/v1/responses/": "A response's id, `resp_…`.",
    "/v1/runs/": "A run's id.",
    "/v1/threads/": "A thread's id.",
    "/v1/files/": "A file's id.",
    "/v1/keys/": "A key's id.",
    "/v1/models/": "A model's id.",
}

_CHAT = {
    "POST /v1/chat/completions": Operation(
        "createChatCompletion",
        {
            200: Answer(
                "The run's answer: whole, or with `stream` as chunks.",
                {JSON: ref("Completion"), EVENT_STREAM: text()},
                ref("CompletionChunk"),
            )
        },
        (_AGAIN, _THREAD),
        ref("ChatBody"),
        errors=RUN,
        needs=Scope.ANALYST,
    ),
    "POST /v1/responses": Operation(
        "createResponse",
        {
            200: Answer(
                "How it stands: at its end, or with `background` now; or with `stream` its events.",
                {JSON: ref("Response"), EVENT_STREAM: text()},
                ref("ResponseEvent"),
            )
        },
        (_AGAIN, _THREAD),
        ref("ResponseBody"),
        errors=RUN,
        needs=Scope.ANALYST,
    ),
    "GET /v1/responses/{id}": Operation(
        "getResponse",
        {
            200: Answer(
                "How it stands, or with `stream` its events.",
                {JSON: ref("Response"), EVENT_STREAM: text()},
                ref("ResponseEvent"),
            )
        },
        (
            _flag("stream", "Its events, as a stream that follows it to its end."),
            Parameter("starting_after", whole(), "Only events with a number above this one."),
        ),
        errors=(404, 409, 422, 502),
    ),
    "GET /v1/responses/{id}/input_items": Operation(
        "listResponseInputItems",
        _json(ref("InputItems"), "A page of them."),
        (
            Parameter("limit", whole(minimum=1, maximum=100), "Missing = 20."),
            _query("order", "Missing = `desc`.", enum=["", "asc", "desc"]),
            _query("after", "The id of the last one that is known."),
        ),
        errors=(404,),
    ),
    "DELETE /v1/responses/{id}": Operation(
        "deleteResponse",
        _json(deleted("response"), "It is gone."),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "POST /v1/responses/{id}/cancel": Operation(
        "cancelResponse",
        _json(ref("Response"), "How it stands."),
        errors=(404,),
        needs=Scope.ANALYST,
    ),
}
_SOURCES = {
    "POST /v1/data-sources": Operation(
        "createDataSource",
        {201: Answer("The source as it is kept.", {JSON: ref("DataSource")})},
        body=ref("DataSourceDraft"),
        errors=(409, 422),
        needs=Scope.ANALYST,
    ),
    "GET /v1/data-sources": Operation(
        "listDataSources", _json(listing(ref("DataSource")), "A page of them."), _sized()
    ),
    "GET /v1/data-source-templates": Operation(
        "listDataSourceTemplates",
        _json(listing(ref("DataSourceTemplate")), "One for each type that this platform has."),
    ),
    "GET /v1/data-sources/{source}": Operation(
        "getDataSource", _json(ref("DataSource"), "The source."), errors=(404, 409)
    ),
    "PATCH /v1/data-sources/{source}": Operation(
        "updateDataSource",
        _json(ref("DataSource"), "The source as it is now."),
        body=ref("DataSourceChange"),
        errors=(404, 409, 422),
        needs=Scope.ANALYST,
    ),
    "DELETE /v1/data-sources/{source}": Operation(
        "deleteDataSource",
        _json(deleted("data_source"), "It is gone."),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "POST /v1/data-sources/{source}/test": Operation(
        "testDataSource",
        _json(ref("Check"), "Each step that was tried. A source that refuses is an answer too."),
        errors=SOURCE,
    ),
    "GET /v1/data-sources/{source}/browse": Operation(
        "browseDataSource",
        _json(listing(ref("Entry")), "Entries, by name."),
        (
            _query("path", "A schema, or a folder that ends in `/`. Missing = the top."),
            _query(
                "glob",
                "A pattern over whole names, such as `sales/2026-*/*.csv` or `**/*.parquet`.",
            ),
            _query(
                "include",
                "With commas between: `tags`; with a glob also `snapshots`, `versions`, `deleted`.",
            ),
            _REFRESH,
            *_sized(),
        ),
        errors=SOURCE,
    ),
    "GET /v1/data-sources/{source}/schema": Operation(
        "inspectDataSource",
        _json(ref("InspectResponse"), "Columns, keys and sizes."),
        (_PATH, _VERSION, _REFRESH),
        errors=SOURCE,
    ),
    "GET /v1/data-sources/{source}/preview": Operation(
        "previewDataSource",
        _json(ref("Preview"), "The rows."),
        (
            _PATH,
            _VERSION,
            Parameter("limit", whole(minimum=0, maximum=1000), "Rows. Missing = 10."),
        ),
        errors=SOURCE,
    ),
    "GET /v1/data-sources/{source}/statistics": Operation(
        "profileDataSource",
        _json(
            ref("ProfileResponse"),
            "Statistics of each column; `basis` says what they were taken from.",
        ),
        (_PATH, _REFRESH),
        errors=SOURCE,
    ),
    "POST /v1/data-sources/{source}/query": Operation(
        "queryDataSource",
        {
            200: Answer(
                "The rows, in the form that `Accept` asks for.",
                {
                    JSON: ref("QueryResult"),
                    "text/csv": text(),
                    "application/vnd.apache.arrow.stream": BYTES,
                    "application/vnd.apache.parquet": BYTES,
                },
            )
        },
        body=ref("QueryBody"),
        errors=SOURCE,
    ),
    "GET /v1/data-sources/{source}/content": Operation(
        "readDataSource",
        {
            200: Answer("The bytes.", {_OCTETS: BYTES}, headers={"etag": "Of the blob as it is."}),
            206: Answer(
                "The range of them.",
                {_OCTETS: BYTES},
                headers={"content-range": "Which, and of how many."},
            ),
        },
        (
            _BLOB,
            _VERSION,
            _query(
                "format",
                "`unpacked`: what it holds, where it is compressed.",
                enum=["", "raw", "unpacked"],
            ),
            _header("Range", "`bytes=first-last`, `bytes=first-` or `bytes=-count`: a single one."),
        ),
        errors=SOURCE,
    ),
}
_FILES = {
    "POST /v1/files": Operation(
        "uploadFile",
        _json(ref("File"), "The file as it is kept."),
        body=ref("Upload"),
        body_type="multipart/form-data",
        errors=(413,),
        needs=Scope.ANALYST,
    ),
    "GET /v1/files": Operation(
        "listFiles",
        _json(listing(ref("File")), "A page of them."),
        (
            *_sized("limit", most=10_000),
            _query("purpose", "Only those of one purpose."),
            _query("order", "By time. Missing = `desc`.", enum=["", "asc", "desc"]),
            _query("after", "OpenAI's way to page: the id of the last file that is known."),
        ),
        errors=(404,),
    ),
    "GET /v1/files/{id}": Operation("getFile", _json(ref("File"), "The file."), errors=(404,)),
    "GET /v1/files/{id}/content": Operation(
        "readFile",
        {
            200: Answer(
                "The bytes.", {_OCTETS: BYTES}, headers={"content-disposition": "Its name."}
            ),
            206: Answer(
                "The range of them.",
                {_OCTETS: BYTES},
                headers={"content-range": "Which, and of how many."},
            ),
        },
        (
            Parameter("expires", whole(minimum=0), "Of a link: until when it works."),
            _query("signature", "Of a link: it takes the place of a key."),
            _header("Range", "`bytes=first-last`, `bytes=first-` or `bytes=-count`: a single one."),
        ),
        errors=(404, 416),
    ),
    "DELETE /v1/files/{id}": Operation(
        "deleteFile", _json(deleted("file"), "It is gone."), errors=(404,), needs=Scope.ANALYST
    ),
}
_RUNS = {
    "GET /v1/runs": Operation(
        "listRuns",
        _json(listing(ref("Run")), "A page of them."),
        (_query("thread_id", "Only those of one thread."), *_sized()),
    ),
    "POST /v1/runs": Operation(
        "startRun",
        {
            202: Answer(
                "The run, which goes on.", {JSON: ref("Run")}, headers={"location": "Its address."}
            )
        },
        (_AGAIN, _THREAD),
        ref("Question"),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "GET /v1/runs/{id}": Operation("getRun", _json(ref("Run"), "The run."), errors=(404,)),
    "POST /v1/runs/{id}/cancel": Operation(
        "cancelRun", _json(ref("Run"), "The run."), errors=(404,), needs=Scope.ANALYST
    ),
    "GET /v1/runs/{id}/export": Operation(
        "exportRun",
        {
            200: Answer(
                "The document.",
                {"application/x-ipynb+json": {"type": "object"}, "text/html": text()},
                headers={"content-disposition": "Its name."},
            )
        },
        (_query("format", "Missing = `notebook`.", enum=["", "notebook", "html"]),),
        errors=(404, 409),
    ),
    "GET /v1/runs/{id}/conversation": Operation(
        "getConversation",
        _json(ref("RunRecord"), "One line of a file of records."),
        errors=(404, 409),
    ),
    "GET /v1/runs/{id}/events": Operation(
        "watchRun",
        {
            200: Answer(
                "Server-sent events; `id:` is the sequence number.",
                {EVENT_STREAM: text()},
                ref("Event"),
            )
        },
        (
            _header("Last-Event-ID", "Only events with a number above this one."),
            Parameter("after", whole(minimum=0), "The same, for clients that set no headers."),
        ),
        errors=(404,),
    ),
    "GET /v1/runs/{id}/approvals": Operation(
        "listApprovals", _json(listing(ref("Approval")), "All of them."), errors=(404,)
    ),
    "POST /v1/runs/{id}/approvals": Operation(
        "decideApproval",
        _json(ref("Approval"), "What was decided."),
        body=ref("Decision"),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "GET /v1/runs/{id}/feedback": Operation(
        "listFeedback", _json(listing(ref("RunFeedback")), "All of it."), errors=(404, 409)
    ),
    "POST /v1/runs/{id}/feedback": Operation(
        "putFeedback",
        _json(ref("RunFeedback"), "What was said."),
        body=ref("Opinion"),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "DELETE /v1/runs/{id}/feedback": Operation(
        "deleteFeedback",
        _json(deleted("feedback"), "It is gone; `id` is the run's."),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
    "GET /v1/threads": Operation(
        "listThreads", _json(listing(ref("Thread")), "A page of them."), _sized()
    ),
    "GET /v1/threads/{id}": Operation(
        "getThread", _json(ref("ThreadTold"), "The thread."), errors=(404,)
    ),
    "DELETE /v1/threads/{id}": Operation(
        "deleteThread",
        _json(deleted("thread"), "It is gone."),
        errors=(404, 409),
        needs=Scope.ANALYST,
    ),
}
_ACCESS = {
    "GET /v1/caller": Operation("getCaller", _json(ref("Caller"), "The caller.")),
    "POST /v1/keys": Operation(
        "createKey",
        {201: Answer("The key, with what is shown this once.", {JSON: ref("KeyMade")})},
        body=ref("KeyDraft"),
        needs=Scope.ADMIN,
    ),
    "GET /v1/keys": Operation(
        "listKeys",
        _json(listing(ref("Key")), "A page of them."),
        (_flag("ended", "Revoked and expired ones too."), *_sized()),
    ),
    "PATCH /v1/keys/{id}": Operation(
        "updateKey",
        _json(ref("Key"), "The key as it is now."),
        body=ref("KeyChange"),
        errors=(404,),
        needs=Scope.ADMIN,
    ),
    "DELETE /v1/keys/{id}": Operation(
        "revokeKey", _json(ref("Key"), "The key as it was."), errors=(404,), needs=Scope.ADMIN
    ),
    "GET /v1/usage": Operation(
        "getUsage",
        _json(ref("UsageLines"), "A line for each day, owner and key, and their sum."),
        (
            _query("from", "A day of UTC. Missing = 30 days up to `to`.", format="date"),
            _query("to", "A day of UTC, counted in. Missing = today.", format="date"),
            _flag("everybody", "Every owner's; needs the scope admin."),
        ),
    ),
}
_PLATFORM = {
    "GET /v1/models": Operation("listModels", _json(listing(ref("Model")), "All of them.")),
    "GET /v1/models/{id}": Operation("getModel", _json(ref("Model"), "The model."), errors=(404,)),
    "GET /health": Operation(
        "getHealth",
        {
            200: Answer("All serve.", {JSON: ref("Health")}),
            503: Answer("Some do not.", {JSON: ref("Health")}),
        },
        needs=None,
    ),
    "GET /livez": Operation("getLiveness", _json(ref("Alive"), "The process answers."), needs=None),
    "GET /healthz": Operation("getHealthz", _json(ref("Alive"), "As /livez."), needs=None),
    "GET /readyz": Operation(
        "getReadiness",
        {
            200: Answer("Requests are welcome.", {JSON: ref("Readiness")}),
            503: Answer("Requests should go elsewhere.", {JSON: ref("Readiness")}),
        },
        needs=None,
    ),
    "GET /v1/admin/profile": Operation(
        "getProfile",
        {
            200: Answer(
                "The profile: a file for speedscope.app, a page, or text.",
                {
                    JSON: {"type": "object", "description": "As speedscope has it."},
                    "text/html": text(),
                    "text/plain": text(),
                },
            )
        },
        (
            Parameter(
                "seconds",
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_S},
                "Missing = 5.",
            ),
            _query("format", "Missing = `speedscope`.", enum=["speedscope", "html", "text"]),
        ),
        errors=(409,),
        needs=Scope.ADMIN,
    ),
    "GET /v1/admin/tasks": Operation(
        "listTasks", _json(listing(ref("Task")), "All of them, at once."), needs=Scope.ADMIN
    ),
    "GET /v1/admin/memory": Operation(
        "getMemory",
        _json(ref("Memory"), "What there is."),
        (
            Parameter(
                "lines",
                whole(minimum=1, maximum=MAX_LINES),
                "So many lines of code that allocated most. Missing = 25.",
            ),
        ),
        needs=Scope.ADMIN,
    ),
    "POST /v1/admin/log-level": Operation(
        "setLogLevel",
        _json(record({"level": text()}), "The level as it is now."),
        body=ref("LogLevel"),
        needs=Scope.ADMIN,
    ),
    "GET /metrics": Operation(
        "getMetrics",
        {200: Answer("Prometheus' text.", {"text/plain": text()})},
        needs=None,
    ),
}
OPERATIONS: Mapping[str, Operation] = {
    **_CHAT,
    **_SOURCES,
    **_FILES,
    **_RUNS,
    **_ACCESS,
    **_PLATFORM,
}
