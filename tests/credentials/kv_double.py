"""A double of Vault's KV engine, version 2, over a socket.

It keeps versions, checks check-and-set, and answers with Vault's own status codes and texts.
It does not imitate: policies and token lifetimes (one token is known, any other is forbidden),
namespaces, soft deletion, max_versions, sealing, replication, rate limits, audit, TLS. Set
VAULT_ADDR and VAULT_TOKEN to run the same tests against a real server, with a KV engine, version 2,
mounted at "secret".
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

TOKEN = "double-root-token"
_DATA, _METADATA = "/v1/secret/data/", "/v1/secret/metadata/"


@dataclass
class Kept:
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    # statuses to answer with instead, each once
    failures: list[int] = field(default_factory=list)
    requests: int = 0


@contextmanager
def running() -> Iterator[tuple[str, Kept]]:
    kept = Kept()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kept))
    thread = Thread(target=server.serve_forever, args=(0.01,), name="kv-double")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(kept: Kept) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(*self._guarded(self._read))

        def do_POST(self) -> None:
            self._answer(*self._guarded(self._write))

        do_PUT = do_POST

        def do_DELETE(self) -> None:
            self._answer(*self._guarded(self._forget))

        def _guarded(self, act: Any) -> tuple[int, Any]:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with kept.lock:
                kept.requests += 1
                if kept.failures:
                    return kept.failures.pop(0), {"errors": ["as the test wants it"]}
                if self.headers.get("X-Vault-Token") != TOKEN:
                    return 403, {"errors": ["permission denied"]}
                return act(json.loads(body or b"{}"))  # type: ignore[no-any-return]

        def _read(self, _: Any) -> tuple[int, Any]:
            versions = kept.versions.get(self.path.partition("?")[0].removeprefix(_DATA))
            if not versions:
                return 404, {"errors": []}
            return 200, {"data": versions[-1]}

        def _write(self, body: Any) -> tuple[int, Any]:
            versions = kept.versions.setdefault(self.path.removeprefix(_DATA), [])
            if body.get("options", {}).get("cas", len(versions)) != len(versions):
                text = "check-and-set parameter did not match the current version"
                return 400, {"errors": [text]}
            made = datetime.now(UTC).isoformat()
            metadata = {"version": len(versions) + 1, "created_time": made, "destroyed": False}
            versions.append({"data": body["data"], "metadata": metadata})
            return 200, {"data": metadata}

        def _forget(self, _: Any) -> tuple[int, Any]:
            kept.versions.pop(self.path.removeprefix(_METADATA), None)
            return 204, None

        def _answer(self, status: int, body: Any) -> None:
            raw = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
