"""The run's report in Markdown: question, answer, data, programs, files. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from isobath.analyst.v1 import analyst_pb2 as analyst


def report(
    question: str,
    answer: str,
    events: Iterable[analyst.Event],
    files: Sequence[analyst.FileInfo],
) -> str:
    """Everything that a reader needs to check the answer."""
    events = list(events)
    title, _, further = question.strip().partition("\n")
    parts = [f"# {title}", *([question.strip()] if further else []), "## Answer", answer]
    parts += _section("Data", (_data(e.file_ready) for e in events if e.HasField("file_ready")))
    parts += _section("Programs", _programs(events))
    parts += _section("Files", (_file(each) for each in files))
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [f"## {title}", *found] if found else []


def _data(file: analyst.FileReady) -> str:
    rows = f", {file.rows:,} rows" if file.HasField("rows") else ""
    cut = f", cut by {file.truncated_by}" if file.truncated else ""
    return f"- `{file.path}` from {file.source}: {file.size_bytes:,} bytes{rows}{cut}"


def _programs(events: Iterable[analyst.Event]) -> Iterator[str]:
    printed: dict[int, list[str]] = {}
    programs: dict[int, str] = {}
    for event in events:
        if event.HasField("program_started"):
            programs[event.program_started.round] = event.program_started.code
        elif event.HasField("program_output"):
            printed.setdefault(event.program_output.round, []).append(event.program_output.text)
    for number, code in programs.items():
        output = "".join(printed.get(number, []))
        yield f"### Program {number}\n\n{_fenced(code, 'python')}\n\n{_fenced(output)}"


def _fenced(text: str, language: str = "") -> str:
    """A fence longer than any run of back-ticks within."""
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _file(file: analyst.FileInfo) -> str:
    picture = "!" if file.media_type.startswith("image/") else "- "
    return f"{picture}[{file.name}]({file.name})"
