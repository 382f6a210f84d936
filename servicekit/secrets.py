"""Values that must not be seen: a type that never prints, and texts rid of them."""

import hmac
import re
import weakref
from collections.abc import Mapping
from typing import Any, NoReturn, final
from urllib.parse import quote

HIDDEN = "***"
# shorter values would black out ordinary words
_SHORTEST_SCRUBBED = 6

# No lock: the collector may run in it, end a task whose error nobody asked for, and have that
# logged then and there, which looks through the living secrets too. Each step is one of a dict.
_live: "weakref.WeakValueDictionary[int, Secret]" = weakref.WeakValueDictionary()


@final
class Secret:
    """Shows only through `reveal`. While it lives, `scrub` blacks its value out of any text."""

    __slots__ = ("__weakref__", "_bytes")

    def __init__(self, value: str | bytes) -> None:
        raw = value.encode() if isinstance(value, str) else bytes(value)
        object.__setattr__(self, "_bytes", raw)
        _live[id(self)] = self

    def reveal(self) -> str:
        return self._raw().decode()

    def reveal_bytes(self) -> bytes:
        return self._raw()

    def _raw(self) -> bytes:
        raw: bytes = object.__getattribute__(self, "_bytes")
        return raw

    def __bool__(self) -> bool:
        return bool(self._raw())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._raw(), other._raw())

    def __hash__(self) -> int:
        return hash(self._raw())

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


# what a secret looks like where nobody told us its value
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(
            r"(?i)\b(accountkey|sharedaccesssignature|sig|password|pwd|passwd|api[_-]?key|"
            r"client_secret|access_token|refresh_token)=[^\s;&\"',)]+"
        ),
        rf"\1={HIDDEN}",
    ),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
        ),
        HIDDEN,
    ),
)

# without one of these, none of the patterns is there: most texts of a log have none
_NEEDED = re.compile(r"[\s:=]")

_SECRET_NAME = re.compile(
    r"(?i)(passw|passphrase|secret|authorization|credential|cookie|signature|connection_?string|"
    r"(^|[_-])(token|pwd|sas|dsn)$|(^|_|-|api|account|access|private|signing|shared)key$)"
)


def scrub(text: str) -> str:
    """The text without any live secret's value, and without what looks like one."""
    for secret in filter(None, (living() for living in _live.valuerefs())):
        for shape in _shapes(secret):
            if shape in text:
                text = text.replace(shape, HIDDEN)
    if _NEEDED.search(text):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def _shapes(secret: Secret) -> tuple[str, ...]:
    value = secret.reveal_bytes().decode(errors="ignore").strip()
    if len(value) < _SHORTEST_SCRUBBED:
        return ()
    escaped = value.encode("unicode_escape").decode()
    return tuple(dict.fromkeys((value, quote(value, safe=""), repr(value)[1:-1], escaped)))


def redact(name: str, value: object) -> object:
    """A value fit for a log line: what is named like a secret is hidden, all text is scrubbed.

    Numbers stay, so that `prompt_tokens=12` is still told."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Secret) or _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): redact(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(name, item) for item in value]
    return scrub(str(value))
