"""Structured logs: one JSON object a line, secrets blacked out by construction."""

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import structlog

from servicekit import context, tracing
from servicekit.secrets import redact, scrub

Event = MutableMapping[str, Any]
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Logger(Protocol):
    """An event name and fields; never payloads, bound values or secrets."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def exception(self, event: str, **fields: Any) -> Any: ...


class _Stderr:
    """Looks sys.stderr up at each write, so that a replaced one (a test's capture) is honoured."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(service: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends our own logs and those of libraries to `stream` (standard error unless told)."""
    target: Any = stream or _Stderr()
    chain = _chain(service)
    structlog.configure(
        processors=[*chain, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(chain, target, level)


def set_level(level: str) -> None:
    """From now on, of loggers that there are too."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level))
    )
    logging.getLogger().setLevel(_of_libraries(level))


def get(name: str) -> Logger:
    logger: Logger = structlog.get_logger(logger_name=name)
    return logger


def _chain(service: str) -> list[Any]:
    return [structlog.stdlib.add_log_level, _add_facts(service), _add_exception, _redact]


def _configure_libraries(chain: list[Any], target: Any, level: str) -> None:
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                _from_library,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *chain[1:],
                structlog.processors.JSONRenderer(default=str),
            ]
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if getattr(h, "_isobath", False)]:
        root.removeHandler(old)
    handler._isobath = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(_of_libraries(level))


def _of_libraries(level: str) -> int:
    """They tell their payloads at INFO (the Azure SDK its headers): warnings are what we want."""
    return max(int(logging.getLevelName(level)), logging.WARNING)


def _from_library(_: Any, __: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    event["level"] = record.levelname.lower()
    event["logger_name"] = record.name
    if record.exc_info and record.exc_info[1]:
        event["exc_info"] = record.exc_info
    return event


def _add_facts(service: str) -> Callable[[Any, str, Event], Event]:
    def add(_: Any, __: str, event: Event) -> Event:
        head = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": event.pop("level", ""),
            "service": service,
            "event": event.pop("event", ""),
        }
        head.update(context.facts())
        if (found := tracing.identifiers()) is not None:
            head["trace_id"], head["span_id"] = found
        # what the line itself tells counts, of a source or an operation
        return {**head, **event}

    return add


def _add_exception(_: Any, __: str, event: Event) -> Event:
    """The type and the trace, without the values of local variables."""
    given = event.pop("exc_info", None)
    error = _error(given)
    if error is not None:
        event["error"] = type(error).__qualname__
        event["trace"] = "".join(traceback.format_exception(error))
    return event


def _error(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        found = given[1]
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if given else None


_OWN_FIELDS = frozenset({"time", "level", "service", "request_id", "trace_id", "span_id"})


def _redact(_: Any, __: str, event: Event) -> Event:
    return {
        scrub(key): value if key in _OWN_FIELDS else redact(key, value)
        for key, value in event.items()
    }


# structlog's own default prints unredacted to standard output: never let that happen
configure("", level="INFO")
