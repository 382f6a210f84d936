"""Settings: frozen dataclasses filled from environment variables, every mistake told at once."""

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from servicekit.secrets import Secret

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_ABSENT: Any = object()


class SettingsError(Exception):
    """Settings are missing or wrong. `problems` has a sentence for each; none shows a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(cls: type[T], environ: Mapping[str, str], *, prefix: str) -> T:
    """Fills the dataclass from PREFIX + FIELD (or PREFIX + FIELD + _FILE, whose content counts).

    Nested dataclasses take PREFIX + FIELD_ as theirs. An empty variable counts as unset.
    Raises SettingsError, which names every variable at fault and what it expects."""
    problems: list[str] = []
    loaded = _load(cls, environ, prefix, problems)
    if problems:
        raise SettingsError(problems)
    return typing.cast(T, loaded)


def _load(cls: Any, environ: Mapping[str, str], prefix: str, problems: list[str]) -> Any:
    hints = typing.get_type_hints(cls)
    before = len(problems)
    values = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        value = _field(field, hints[field.name], environ, prefix, problems)
        if value is not _ABSENT:
            values[field.name] = value
    if len(problems) > before:
        return _ABSENT
    return _construct(cls, values, prefix, problems)


def _construct(cls: Any, values: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    try:
        return cls(**values)
    except (ValueError, TypeError) as exc:
        problems.append(f"{prefix}*: {exc}")
        return _ABSENT


def _field(
    field: "dataclasses.Field[Any]",
    hint: Any,
    environ: Mapping[str, str],
    prefix: str,
    problems: list[str],
) -> Any:
    name = prefix + field.name.upper()
    if dataclasses.is_dataclass(hint):
        return _nested(field, hint, environ, f"{name}_", problems)
    text = _text(name, environ, problems)
    if text is None:
        if _required(field):
            problems.append(f"{name} is not set; it expects {_expects(hint)}")
        return _ABSENT
    try:
        return _parse(hint, text)
    except ValueError:
        problems.append(f"{name} expects {_expects(hint)}")
        return _ABSENT


def _nested(
    field: "dataclasses.Field[Any]",
    hint: Any,
    environ: Mapping[str, str],
    prefix: str,
    problems: list[str],
) -> Any:
    given = any(key.startswith(prefix) and environ[key] for key in environ)
    if not given and not _required(field):
        return (
            _ABSENT  # the default of the outer class holds, which may differ from the inner's own
        )
    return _load(hint, environ, prefix, problems)


def _required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _text(name: str, environ: Mapping[str, str], problems: list[str]) -> str | None:
    direct, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if direct and path:
        problems.append(f"{name} and {name}_FILE are both set; keep one")
        return None
    if not path:
        return direct or None
    try:
        return Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        problems.append(f"{name}_FILE: cannot read {path} ({_why(exc)})")
        return ""


def _why(exc: Exception) -> str:
    return (isinstance(exc, OSError) and exc.strerror) or "not text"


def _parse(hint: Any, text: str) -> Any:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        return _parse_first(inner, text)
    if origin is tuple:
        return tuple(
            _parse(get_args(hint)[0], part.strip()) for part in text.split(",") if part.strip()
        )
    if origin is typing.Literal:
        return _choose({str(choice): choice for choice in get_args(hint)}, text)
    if hint is bool:
        return _bool(text)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choose({str(member.value): member for member in hint}, text)
    if hint in (str, int, float, Secret):
        return hint(text)
    if hint is Path:
        return Path(text).expanduser()
    raise TypeError(f"no way to read a setting of type {hint!r}")


def _parse_first(hints: list[Any], text: str) -> Any:
    for hint in hints[:-1]:
        try:
            return _parse(hint, text)
        except ValueError:
            continue
    return _parse(hints[-1], text)


def _bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError
    return lowered in _TRUE


def _choose(choices: Mapping[str, Any], text: str) -> Any:
    if text not in choices:
        raise ValueError
    return choices[text]


_PLAIN: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Secret: "a secret (better in a file, by …_FILE)",
}


def _expects(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expects(arg) for arg in get_args(hint) if arg is not type(None))
    if origin is tuple:
        return f"a comma-separated list, each {_expects(get_args(hint)[0])}"
    if origin is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(str(member.value) for member in hint)
    return _PLAIN.get(hint, str(hint))
