"""The model of the examples: a server of OpenAI's chat protocol that says what was written by hand.

It keeps nothing of a conversation: which turn is next follows from the messages. It counts no
tokens as a tokenizer does, samples nothing, and ends each turn as a model stops: with `</Code>` or
`</Answer>`.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "DeepAnalyze-8B"
_HEAD = "# Instruction\n"
_PARTS = ("\n\nThe files under # Data lie in", "\n\n# Data\n")


class Unscripted(LookupError):
    """A conversation that nobody wrote a turn for."""


def question_of(messages: Sequence[Mapping[str, str]]) -> tuple[str, int]:
    """What was asked last, and how many turns the model had since."""
    users = [at for at, each in enumerate(messages) if each["role"] == "user"]
    if not users:
        raise Unscripted("no question was asked")
    asked = messages[users[-1]]["content"].removeprefix(_HEAD)
    for part in _PARTS:
        asked = asked.partition(part)[0]
    had = sum(each["role"] == "assistant" for each in messages[users[-1] :])
    return asked.strip(), had


class Script:
    """Turns by question."""

    def __init__(self, turns: Mapping[str, Sequence[str]]) -> None:
        self._turns = turns

    def next(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Raises `Unscripted`."""
        question, had = question_of(messages)
        turns = self._turns.get(question, ())
        if had >= len(turns):
            raise Unscripted(f"turn {had + 1} of {len(turns)} was asked for: {question}")
        return turns[had]


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The base URL, on a free port of this machine; gone on leaving."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": NAME, "object": "model"}]}
            self._send(200, "application/json", json.dumps(listed).encode())

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            try:
                turn = script.next(asked["messages"])
            except Unscripted as missing:
                told = {"error": {"message": str(missing), "type": "invalid_request_error"}}
                self._send(400, "application/json", json.dumps(told).encode())
                return
            self._send(200, "text/event-stream", _streamed(turn))

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: conversations are data."""

    return Handler


def _streamed(turn: str) -> bytes:
    """One delta, the end, the usage (some four letters a token)."""
    usage = {"prompt_tokens": 1, "completion_tokens": len(turn) // 4 + 1, "total_tokens": 2}
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": turn}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    told = {"id": "turn", "object": "chat.completion.chunk", "created": 0, "model": NAME}
    lines = [f"data: {json.dumps({**told, **each})}\n\n" for each in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()
