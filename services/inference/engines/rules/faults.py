"""When a part of the analyst itself breaks: it is logged, told, and something simpler is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from servicekit import logs

_log = logs.get(__name__)
_Made = TypeVar("_Made")
_Given = ParamSpec("_Given")


@dataclass(frozen=True)
class Fault:
    """A part that could not be done, and the class of the exception that ended it."""

    part: str
    error: str

    @property
    def told(self) -> str:
        return f"{self.part} broke in the analyst itself ({self.error})"


def attempt(
    part: str, make: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs
) -> _Made | Fault:
    """What `make` gives; a fault, logged with its trace, when it raises anything."""
    try:
        return make(*given, **named)
    except Exception as exc:
        _log.exception("analysis_failed", part=part)
        return Fault(part, type(exc).__qualname__)
