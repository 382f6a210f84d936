"""Which identity a token stands for: a file of {identity: sha256}, re-read when it changes. An
identity may have several, [sha256, …], so that a token is replaced without a call refused."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from servicekit import logs
from servicekit.context import LOCAL
from servicekit.settings import SettingsError
from servicekit.status import Unauthenticated
from servicekit.tls import Tls

_log = logs.get(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEME = "bearer "
# what gRPC knows of the other end of a connection
Peer = Callable[[], Mapping[str, Sequence[bytes]]]


class Callers:
    """With neither a file nor TLS everybody is "local": the server then refuses to listen beyond
    the machine."""

    def __init__(self, path: Path | None, tls: Tls | None = None) -> None:
        self._path = path
        self._tls = tls
        self._seen: object = None
        self._by_digest: dict[str, str] = {}
        if path is not None:
            self._first_read(path)

    def identify(self, authorization: str, peer: Peer) -> str:
        """By the certificate of the call's connection where there is TLS, by its token where there
        is a file; by both, they must be of one. Raises Unauthenticated."""
        if self._tls is None:
            return self._by_token(authorization)
        identity = self._tls.identity(peer())
        if self._path is not None and self._by_token(authorization) != identity:
            raise Unauthenticated("the call's token is not of its certificate")
        return identity

    def _by_token(self, authorization: str) -> str:
        if self._path is None:
            return LOCAL
        self._refresh(self._path)
        if not authorization.lower().startswith(_SCHEME):
            raise Unauthenticated("the call carries no token")
        token = authorization[len(_SCHEME) :].strip()
        identity = self._by_digest.get(hashlib.sha256(token.encode()).hexdigest())
        if identity is None:
            raise Unauthenticated("the call's token is not known")
        return identity

    def _first_read(self, path: Path) -> None:
        try:
            self._read(path)
        except (OSError, ValueError) as exc:
            raise SettingsError([f"callers file {path}: {exc}"]) from exc

    def _refresh(self, path: Path) -> None:
        """A file that turned unreadable leaves the last good one in force, and says so once."""
        try:
            if _stamp(path) != self._seen:
                self._read(path)
        except (OSError, ValueError) as exc:
            stamp = repr(exc)
            if self._seen != stamp:
                _log.error("callers_file_unreadable", path=str(path), why=str(exc))
            self._seen = stamp

    def _read(self, path: Path) -> None:
        stamp = _stamp(path)
        table = json.loads(path.read_text())
        if not isinstance(table, dict) or not all(_well_formed(*item) for item in table.items()):
            raise ValueError("expects a JSON object of identity to sha256 in lower-case hex")
        self._by_digest = {
            digest: identity for identity, told in table.items() for digest in _digests(told)
        }
        self._seen = stamp


def _well_formed(identity: object, digest: object) -> bool:
    return (
        identity not in ("", LOCAL)
        and bool(_digests(digest))
        and all(isinstance(each, str) and _SHA256.fullmatch(each) for each in _digests(digest))
    )


def _digests(told: object) -> Sequence[Any]:
    return told if isinstance(told, list) else [told]


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
