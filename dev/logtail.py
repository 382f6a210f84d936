"""The end of a service's log, for people: its JSON lines as sentences, traces as traces."""

import json
from pathlib import Path
from typing import Any

from dev.child import tail

# Said of each line anyway, or of no use in a message.
UNSAID = frozenset({"time", "level", "service", "logger_name", "event", "trace", "request_id"})


def last_words(log: Path, lines: int = 12) -> str:
    """The last lines; those that are no JSON (a crash of the interpreter) as they are."""
    return "\n".join(_readable(line) for line in tail(log, lines).splitlines())


def _readable(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    return _sentence(record) if isinstance(record, dict) else line


def _sentence(record: dict[str, Any]) -> str:
    fields = [f"{name}={value}" for name, value in record.items() if name not in UNSAID]
    first = " ".join([str(record.get("level", "")), str(record.get("event", "")), *fields])
    return "\n".join(filter(None, (first.strip(), str(record.get("trace", "")).rstrip())))
