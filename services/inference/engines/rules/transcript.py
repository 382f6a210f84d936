"""What a conversation says: the question, the files, and what each program printed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

_DATA = re.compile(r"^#[ \t]*Data[ \t]*$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^#[ \t]*Instruction[ \t]*$", re.MULTILINE)
_RESULT = re.compile(r"\s*#\s*Execute Result\s*", re.IGNORECASE)
_ENTRY = re.compile(r"^File \d+:[ \t]*$", re.MULTILINE)
_CODE = re.compile(r"<Code>(.*?)(?:</Code>|\Z)", re.DOTALL)


class Message(Protocol):
    """One message of a chat; role is system, user, assistant or execute."""

    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...


@dataclass(frozen=True)
class FileEntry:
    """One entry under `# Data`: the name, and whatever else the platform said of the file."""

    name: str
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Asking:
    """One user message, split into its instruction and its files."""

    instruction: str
    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Transcript:
    """The current question with what its programs printed, and the questions before it."""

    current: Asking
    outputs: tuple[str, ...]
    earlier: tuple[Asking, ...]
    files: tuple[FileEntry, ...]


def read(messages: Sequence[Message]) -> Transcript:
    """The transcript of a conversation; never raises, whatever the messages hold."""
    askings: list[Asking] = []
    outputs: list[str] = []
    ran = False
    for message in messages:
        result = _result(message)
        if result is not None:
            outputs.append(result)
            ran = False
        elif message.role == "user":
            askings.append(_asking(message.content))
            outputs, ran = [], False
        elif message.role == "assistant":
            ran = bool(_CODE.search(message.content))
    if ran:  # a program whose output never came counts as one that printed nothing
        outputs.append("")
    return _joined(askings, outputs)


def _joined(askings: list[Asking], outputs: list[str]) -> Transcript:
    current = askings[-1] if askings else Asking("", ())
    known: dict[str, FileEntry] = {}
    for asking in askings:
        known.update({entry.name: entry for entry in asking.files})
    files = current.files or tuple(known.values())
    return Transcript(current, tuple(outputs), tuple(askings[:-1]), files)


def _result(message: Message) -> str | None:
    if message.role in ("execute", "tool"):
        return message.content
    if message.role == "user" and (match := _RESULT.match(message.content)):
        return message.content[match.end() :]
    return None


def _asking(content: str) -> Asking:
    head, data = _split(content)
    start = _INSTRUCTION.search(head)
    return Asking((head[start.end() :] if start else head).strip(), _entries(data))


def _split(content: str) -> tuple[str, str]:
    # The platform writes its part last: a user's own "# Data" heading does not hide it.
    for match in reversed(list(_DATA.finditer(content))):
        if _ENTRY.search(content, match.end()):
            return content[: match.start()], content[match.end() :]
    return content, ""


def _entries(data: str) -> tuple[FileEntry, ...]:
    decoder = json.JSONDecoder()
    found: dict[str, FileEntry] = {}
    for match in _ENTRY.finditer(data):
        start = data.find("{", match.end())
        if start < 0:
            continue
        try:
            value, _ = decoder.raw_decode(data, start)
        except (ValueError, RecursionError):
            continue
        name = value.get("name") if isinstance(value, dict) else None
        if isinstance(name, str) and name:
            found[name] = FileEntry(name, value)
    return tuple(found.values())


def marked(output: str, marker: str) -> dict[str, object] | None:
    """The JSON object on the last line that begins with the marker, if there is a whole one."""
    for line in reversed(output.splitlines()):
        if line.startswith(marker):
            try:
                value = json.loads(line[len(marker) :])
            except (ValueError, RecursionError):
                return None
            return value if isinstance(value, dict) else None
    return None


def failure(output: str) -> str:
    """The last line of a traceback, or of whatever was printed instead of a result."""
    lines = [line.strip() for line in output.strip().splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    if errors:
        return errors[-1][:300]
    return lines[-1][:300] if lines else "the program printed nothing"
