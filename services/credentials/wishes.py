"""What a grant is asked to be, checked before anything is signed."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from grants.attenuation import Bounds
from grants.claims import DEFAULT_LIFETIME, MAX_LIFETIME, MAX_PARENTS, OPERATIONS, Grant, Json
from grants.errors import BeyondGrant
from grants.scope import MAX_SCOPES, problem_of
from servicekit.status import InvalidField

_SOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_WORD_CHARS = 256
_MAX_CONFIG_BYTES = 16 * 1024

_SECRET_NAME = re.compile(
    r"(?i)passw|pwd|passphrase|secret|token|signature|connection_?string"
    r"|(^|[_-])(key|keys|sas|dsn|authorization)$|(?-i:[a-z]Key$)"
    r"|(account|access|api|private|shared|storage)[_-]?key"
)
_SECRET_VALUE = re.compile(
    r"(?i)(account_?key|shared_?access_?(signature|key)|password|pwd|client_?secret|[?&]sig)\s*="
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]*:[^/\s@]+@"
)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Everything about a grant but who signs it and when."""

    owner: str
    caller: str
    source_id: str
    source_type: str
    source_version: int
    config: Mapping[str, Json]
    operations: frozenset[str]
    scopes: tuple[str, ...]
    max_rows: int
    max_bytes: int
    max_seconds: float
    run_id: str
    thread_id: str
    lifetime: timedelta | None

    def check(self) -> None:
        """Raises InvalidField."""
        require_source_id(self.source_id)
        for field in ("owner", "source_type"):
            _require(bool(getattr(self, field)), field, f"{field} is needed")
        for field in ("owner", "caller", "source_type", "run_id", "thread_id"):
            short = len(getattr(self, field)) <= _MAX_WORD_CHARS
            _require(short, field, f"{field} has at most {_MAX_WORD_CHARS} characters")
        for field in ("source_version", "max_rows", "max_bytes", "max_seconds"):
            _require(getattr(self, field) >= 0, field, f"{field} is not negative")
        self._check_reach()
        self._check_config()
        in_bounds = timedelta(0) < self._lifetime() <= MAX_LIFETIME
        _require(in_bounds, "lifetime", "a grant lives for more than nothing and at most 24 hours")

    def grant(self, grant_id: str, now: datetime) -> Grant:
        return Grant(
            grant_id=grant_id,
            owner=self.owner,
            caller=self.caller,
            source_id=self.source_id,
            source_type=self.source_type,
            source_version=self.source_version,
            config=self.config,
            operations=self.operations,
            scopes=self.scopes,
            max_rows=self.max_rows,
            max_bytes=self.max_bytes,
            max_seconds=self.max_seconds,
            run_id=self.run_id,
            thread_id=self.thread_id,
            issued_at=now,
            expires_at=now + self._lifetime(),
        )

    def _lifetime(self) -> timedelta:
        return DEFAULT_LIFETIME if self.lifetime is None else self.lifetime

    def _check_reach(self) -> None:
        known = bool(self.operations) and self.operations <= OPERATIONS
        _require(known, "operations", "operations are one or more of list, read, write")
        _require(len(self.scopes) <= MAX_SCOPES, "scopes", f"at most {MAX_SCOPES} scopes")
        for scope in self.scopes:
            problem = problem_of(scope)
            _require(not problem, "scopes", problem)

    def _check_config(self) -> None:
        size = len(json.dumps(dict(self.config)).encode())
        _require(size <= _MAX_CONFIG_BYTES, "config", f"at most {_MAX_CONFIG_BYTES} bytes")
        for field in secret_looking(dict(self.config)):
            raise InvalidField(
                field,
                f"{field} looks like a secret, and a grant can be read by whoever holds it",
                remedy="Store it with PutSecret and leave it out of config.",
            )


@dataclass(frozen=True, kw_only=True)
class Narrower:
    """What a narrower grant is asked to be. Empty, 0 and None = as the wider one."""

    operations: frozenset[str]
    scopes: tuple[str, ...]
    max_rows: int
    max_bytes: int
    max_seconds: float
    lifetime: timedelta | None

    def check(self, wide: Grant) -> None:
        """Raises InvalidField, BeyondGrant."""
        for field in ("max_rows", "max_bytes", "max_seconds"):
            _require(getattr(self, field) >= 0, field, f"{field} is not negative")
        _require(len(self.scopes) <= MAX_SCOPES, "scopes", f"at most {MAX_SCOPES} scopes")
        for scope in self.scopes:
            problem = problem_of(scope)
            _require(not problem, "scopes", problem)
        lives = self.lifetime is None or self.lifetime > timedelta(0)
        _require(lives, "lifetime", "a grant lives for more than nothing")
        shallow = len(wide.parents) < MAX_PARENTS
        _require(shallow, "grant", f"a grant is narrowed at most {MAX_PARENTS} times")
        for operation in sorted(self.operations - wide.operations):
            allowed = ", ".join(sorted(wide.operations)) or "nothing"
            raise BeyondGrant(operation, None, allowed)

    def bounds(self, now: datetime) -> Bounds:
        return Bounds(
            operations=self.operations or None,
            scopes=self.scopes or None,
            max_rows=self.max_rows,
            max_bytes=self.max_bytes,
            max_seconds=self.max_seconds,
            expires_at=None if self.lifetime is None else now + self.lifetime,
        )


def secret_looking(value: Json, name: str = "config", *, named: bool = False) -> Iterator[str]:
    """The names of the texts that are called like a secret, or are one by their looks."""
    if isinstance(value, dict):
        for key, inner in value.items():
            called = named or _SECRET_NAME.search(key) is not None
            yield from secret_looking(inner, f"{name}.{key}", named=called)
    elif isinstance(value, list):
        for inner in value:
            yield from secret_looking(inner, name, named=named)
    elif isinstance(value, str) and value and (named or _SECRET_VALUE.search(value)):
        yield name


def require_source_id(source_id: str) -> None:
    """It stands in the paths of a vault, so it holds nothing that means something there."""
    fits = _SOURCE_ID.fullmatch(source_id) is not None
    _require(fits, "source_id", "a source id is letters, digits, dots, dashes and underscores")


def _require(holds: bool, field: str, message: str) -> None:
    if not holds:
        raise InvalidField(field, message)
