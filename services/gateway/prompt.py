"""The prompt: the question under `# Instruction`, the workspace under `# Data`.

The shape is the one that the model was trained on (entries of JSON indented by 4, size in KB with
one decimal); what this platform knows beyond that stands in the same entries, after name and size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.conversation import Message
from services.gateway.guide import Known

# a wide table is told by its first columns: 200 of some 40 characters are about 2,000 tokens
MAX_COLUMNS = 200
# ten questions with their answers, some 5,000 tokens
MAX_HISTORY = 20
_ITEM = "  - "


@dataclass(frozen=True)
class DataFile:
    """A file of the workspace, as the model is told of it. `columns` are (name, type)."""

    path: str
    size_bytes: int
    columns: Sequence[tuple[str, str]] = ()
    rows: int | None = None
    origin: str = ""
    note: str = ""

    def entry(self) -> dict[str, Any]:
        """The JSON entry, in the trained order; what is not known is left out."""
        entry: dict[str, Any] = {"name": self.path, "size": f"{self.size_bytes / 1024:.1f}KB"}
        if self.rows is not None:
            entry["rows"] = self.rows
        if self.columns:
            entry["columns"] = [{"name": n, "type": t} for n, t in self.columns[:MAX_COLUMNS]]
        if len(self.columns) > MAX_COLUMNS:
            entry["more_columns"] = len(self.columns) - MAX_COLUMNS
        if self.origin:
            entry["origin"] = self.origin
        if self.note:
            entry["note"] = self.note
        return entry


@dataclass(frozen=True)
class Holdings:
    """What a source holds, a line for each entry, and how many they leave out."""

    lines: Sequence[str] = ()
    left_out: int = 0


@dataclass(frozen=True)
class LiveSource:
    """A source that code may query. `notes` are the connector's own lines on how; `folder` is what
    code may write there, "" = nothing; `holds` is told where nothing of it was fetched; `queries`
    are known to be right."""

    name: str
    type: str
    description: str = ""
    notes: str = ""
    folder: str = ""
    holds: Holdings = Holdings()
    queries: Sequence[Known] = ()


def prompt(
    messages: Sequence[Message], files: Sequence[DataFile], sources: Sequence[LiveSource] = ()
) -> list[Message]:
    """The messages with the last one, the question, rewritten; earlier ones unchanged."""
    *earlier, last = messages
    parts = [f"# Instruction\n{last.content}"]
    if sources:
        parts.append(_sources(sources))
    if files:
        parts.append(_data(files))
    return [*earlier, replace(last, content="\n\n".join(parts))]


def trimmed(sources: Sequence[LiveSource], chars: int) -> list[LiveSource]:
    """What is told of sources in no more than so many characters together: of each the first
    queries and the first lines, but one line at least. Each has an equal part, and what one does
    not need is for the others."""
    told: dict[str, LiveSource] = {}
    for count, source in enumerate(sorted(sources, key=_told_chars)):
        part = chars // (len(sources) - count)
        told[source.name] = kept = _within(source, part)
        chars -= _told_chars(kept)
    return [told[each.name] for each in sources]


def _told_chars(source: LiveSource) -> int:
    return sum(map(_chars, (*source.holds.lines, *map(_known, source.queries))))


def _chars(line: str) -> int:
    return len(_ITEM) + len(line) + 1


def _within(source: LiveSource, chars: int) -> LiveSource:
    """Queries take half at most: without what there is, they are of little use."""
    queries: list[Known] = []
    left = chars // 2 if source.holds.lines else chars
    for query in source.queries:
        if (size := _chars(_known(query))) <= left:
            left -= size
            queries.append(query)
    left = chars - sum(_chars(_known(each)) for each in queries)
    lines: list[str] = []
    for line in source.holds.lines:
        if _chars(line) > left:
            # what is cut are the last columns
            lines = lines or [line[: max(0, left - _chars("…"))] + "…"]
            break
        left -= _chars(line)
        lines.append(line)
    dropped = len(source.holds.lines) - len(lines)
    holds = Holdings(lines, source.holds.left_out + dropped)
    return replace(source, holds=holds, queries=queries)


def with_history(messages: Sequence[Message], earlier: Sequence[Message]) -> list[Message]:
    """A thread's earlier questions and answers before a lone question; a client that sent the
    conversation itself is taken at its word."""
    system = [message for message in messages if message.role == "system"]
    asked = [message for message in messages if message.role != "system"]
    if len(asked) > 1:
        return list(messages)
    return [*system, *(_as_said(each) for each in earlier[-MAX_HISTORY:]), *asked]


def _as_said(message: Message) -> Message:
    """An answer in the block that the model gave it in."""
    if message.role != "assistant":
        return message
    return replace(message, content=f"<Answer>\n{message.content}\n</Answer>")


def _data(files: Sequence[DataFile]) -> str:
    entries = (
        f"File {number}:\n{json.dumps(file.entry(), indent=4, ensure_ascii=False)}"
        for number, file in enumerate(files, 1)
    )
    return "# Data\n" + "\n\n".join(entries)


def _sources(sources: Sequence[LiveSource]) -> str:
    lines = [
        "The files under # Data lie in the working directory. "
        "Code can also use these live sources, without credentials:"
    ]
    for source in sources:
        lines.append(f'- sources["{source.name}"] ({source.type}) {source.description}'.rstrip())
        lines.extend(f"  {note}" for note in source.notes.splitlines())
        if source.holds.lines:
            lines.append("  It holds:")
            lines.extend(_ITEM + each for each in source.holds.lines)
        if source.holds.left_out:
            see = "tables()" if source.type == "postgresql" else "list()"
            more = f'sources["{source.name}"].{see}'
            lines.append(f"  and {source.holds.left_out:,} more: {more}")
        if source.queries:
            lines.append("  Queries that are known to be right:")
            lines.extend(_ITEM + _known(each) for each in source.queries)
        if source.folder:
            call = f'sources["{source.name}"].upload("result.csv", "{source.folder}result.csv")'
            lines.append(f"  A file is put there by {call}, into that folder only.")
    return "\n".join(lines)


def _known(known: Known) -> str:
    """A question, and below it the query."""
    return "\n    ".join([" ".join(known.question.split()), *known.sql.strip().splitlines()])
