"""A double of Vault over a socket: KV version 2, wrapped data keys, and signing in.

It keeps versions, checks check-and-set, and answers with Vault's own status codes and texts. Tokens
live for a while, are renewed up to a longest life, and are revoked; AppRole (secret ids, also
wrapped ones, which open once), Kubernetes and JWT give them; namespaces keep tokens and secrets
apart; it can be sealed, throttled, cut off, and served over TLS. With an engine of
tests.credentials.database_double it has the database engine too, whose leases it ends by itself.
It does not imitate: policies (every token may do everything), signatures of JWTs (they are compared
as text), soft deletion, max_versions, replication, audit. Set VAULT_ADDR and VAULT_TOKEN to run the
same tests against a real server, with a KV engine, version 2, mounted at "secret".
"""

import base64
import json
import os
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from tests.credentials.database_double import Engine

TOKEN = "double-root-token"
_CREDS, _LEASES = "/v1/database/creds/", "/v1/sys/leases/"
_DATA, _METADATA = "/v1/secret/data/", "/v1/secret/metadata/"


@dataclass
class Kept:
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    refuse_metadata: bool = False
    # of the active server, where this one stands by
    active: str = ""
    lock: Lock = field(default_factory=Lock)
    # statuses to answer with instead, each once
    failures: list[int] = field(default_factory=list)
    requests: int = 0
    sealed: bool = False
    throttled: bool = False
    # answers with nothing and hangs up
    cut: bool = False
    namespace: str = ""
    # token -> when it ends, by the clock, and how often it may be renewed still
    tokens: dict[str, "Living"] = field(default_factory=dict)
    ttl_s: float = 3600.0
    renewals: int = 2
    secret_ids: set[str] = field(default_factory=set)
    wrapped: dict[str, str] = field(default_factory=dict)
    jwts: set[str] = field(default_factory=set)
    # ciphertext -> plaintext, of whatever key is named
    transit: dict[str, str] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)
    renewed: int = 0
    clock: Callable[[], float] = time.monotonic
    database: Engine | None = None

    def revoke_tokens(self) -> None:
        """All but the root's."""
        with self.lock:
            self.tokens = {TOKEN: self.tokens[TOKEN]}
        self.expire()

    def lives(self, token: str) -> bool:
        living = self.tokens.get(token)
        return living is not None and living.ends_at > self.clock()

    def expire(self) -> None:
        with self.lock:
            # a sealed server ends nothing either
            if self.database is not None and not self.sealed:
                self.database.expire(self.lives)

    def issue(self, ttl_s: float | None = None) -> str:
        token = f"hvs.{uuid.uuid4().hex}"
        self.tokens[token] = Living(self.clock() + (ttl_s or self.ttl_s), self.renewals)
        return token


@dataclass
class Living:
    ends_at: float
    renewals: int


@contextmanager
def running(
    tls: ssl.SSLContext | None = None,
    *,
    database: Engine | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, Kept]]:
    kept = Kept(database=database, clock=clock)
    kept.tokens[TOKEN] = Living(float("inf"), 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kept))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.service_actions = kept.expire  # type: ignore[method-assign]
    thread = Thread(target=server.serve_forever, args=(0.01,), name="kv-double")
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if kept.database is not None:
            kept.database.drop_all()


def _auth(token: str, ttl_s: float) -> dict[str, Any]:
    return {"client_token": token, "lease_duration": ttl_s, "renewable": True}


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
                if kept.active:
                    return 307, None
                if kept.sealed:
                    return 503, {"errors": ["Vault is sealed"]}
                if kept.throttled:
                    return 429, {"errors": ["request path: rate limit quota exceeded"]}
                if (self.headers.get("X-Vault-Namespace") or "") != kept.namespace:
                    return 403, {"errors": ["permission denied"]}
                given = json.loads(body or b"{}")
                if self.path.startswith("/v1/auth/") and self.path.endswith("/login"):
                    return self._log_in(given)
                token = self.headers.get("X-Vault-Token") or ""
                if self.path == "/v1/sys/wrapping/unwrap":
                    return self._unwrap(token)
                if not kept.lives(token):
                    return 403, {"errors": ["permission denied"]}
                if self.path.startswith("/v1/auth/token/"):
                    return self._self(token, kept.tokens[token])
                if self.path.startswith("/v1/transit/"):
                    return self._transit(given)
                if kept.database is not None and self.path.startswith(_LEASES):
                    return self._leases(kept.database, given)
                if kept.database is not None and self.path.startswith(_CREDS):
                    return kept.database.credentials(self.path.removeprefix(_CREDS), token)
                return act(given)

        def _log_in(self, given: Any) -> tuple[int, Any]:
            method = self.path.split("/")[3]
            known = given.get("secret_id") in kept.secret_ids or given.get("jwt") in kept.jwts
            if not known or not (given.get("role_id") or given.get("role")):
                return 400, {"errors": ["invalid role or secret ID"]}
            kept.logins.append(method)
            return 200, {"auth": _auth(kept.issue(), kept.ttl_s)}

        def _unwrap(self, token: str) -> tuple[int, Any]:
            secret_id = kept.wrapped.pop(token, None)
            if secret_id is None:
                return 400, {"errors": ["wrapping token is not valid or does not exist"]}
            return 200, {"data": {"secret_id": secret_id}}

        def _transit(self, given: Any) -> tuple[int, Any]:
            if "/datakey/wrapped/" in self.path:
                ciphertext = f"vault:v1:{uuid.uuid4().hex}"
                kept.transit[ciphertext] = base64.b64encode(os.urandom(32)).decode()
                return 200, {"data": {"ciphertext": ciphertext}}
            plaintext = kept.transit.get(given.get("ciphertext", ""))
            if plaintext is None:
                return 400, {"errors": ["invalid ciphertext: no prefix"]}
            return 200, {"data": {"plaintext": plaintext}}

        def _leases(self, engine: Engine, given: Any) -> tuple[int, Any]:
            if self.path.endswith("/renew"):
                return engine.renew(given["lease_id"], given.get("increment") or 0)
            return engine.revoke(given["lease_id"])

        def _self(self, token: str, living: Living) -> tuple[int, Any]:
            left_s = living.ends_at - kept.clock()
            if self.path.endswith("/lookup-self"):
                ttl = 0 if left_s == float("inf") else int(left_s)
                return 200, {"data": {"ttl": ttl, "renewable": ttl > 0}}
            if not living.renewals:
                return 400, {"errors": ["lease is not renewable"]}
            kept.tokens[token] = Living(kept.clock() + kept.ttl_s, living.renewals - 1)
            kept.renewed += 1
            return 200, {"auth": _auth(token, kept.ttl_s)}

        def _read(self, _: Any) -> tuple[int, Any]:
            if self.path.startswith(_METADATA):
                path = self.path.removeprefix(_METADATA)
                count = len(kept.versions.get(path, []))
                labels = kept.labels.get(path)
                return 200, {"data": {"current_version": count, "custom_metadata": labels}}
            versions = kept.versions.get(self.path.partition("?")[0].removeprefix(_DATA))
            if not versions:
                return 404, {"errors": []}
            return 200, {"data": versions[-1]}

        def _write(self, body: Any) -> tuple[int, Any]:
            if self.path.startswith(_METADATA):
                if kept.refuse_metadata:
                    return 403, {"errors": ["permission denied"]}
                kept.labels[self.path.removeprefix(_METADATA)] = body["custom_metadata"]
                return 204, None
            versions = kept.versions.setdefault(self.path.removeprefix(_DATA), [])
            if body.get("options", {}).get("cas", len(versions)) != len(versions):
                text = "check-and-set parameter did not match the current version"
                return 400, {"errors": [text]}
            made = datetime.now(UTC).isoformat()
            metadata = {"version": len(versions) + 1, "created_time": made, "destroyed": False}
            versions.append({"data": body["data"], "metadata": metadata})
            return 200, {"data": metadata}

        def _forget(self, _: Any) -> tuple[int, Any]:
            kept.labels.pop(self.path.removeprefix(_METADATA), None)
            kept.versions.pop(self.path.removeprefix(_METADATA), None)
            return 204, None

        def _answer(self, status: int, body: Any) -> None:
            if kept.cut:
                self.close_connection = True
                return
            raw = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            if status == 307:
                self.send_header("Location", kept.active + self.path)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
