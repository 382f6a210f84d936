"""A run's events, read back as what a person wants of them. Values in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client.events import (
    Completed,
    Event,
    FigureReady,
    OutputStream,
    ProgramFinished,
    ProgramOutput,
    ProgramStarted,
    Started,
    Usage,
)
from isobath_client.tables import TABLE_ENDINGS


@dataclass
class Program:
    """One program of a run. `outcome` is "ok", "error", "timeout", "interrupted" or "died"; empty
    where the run ended before it."""

    round: int
    code: str
    outputs: list[tuple[OutputStream, str]] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    outcome: str = ""
    error: str = ""
    elapsed_s: float = 0.0

    @property
    def output(self) -> str:
        """All that it printed, in order."""
        return "".join(text for _, text in self.outputs)


@dataclass
class Transcript:
    """`figures` are files of `files` that programs showed, each once, in order."""

    run_id: str = ""
    thread_id: str = ""
    model: str = ""
    question: str = ""
    answer: str = ""
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    programs: list[Program] = field(default_factory=list)
    figures: list[FigureReady] = field(default_factory=list)
    files: tuple[analyst.FileInfo, ...] = ()
    written: tuple[analyst.WrittenArtifact, ...] = ()

    @property
    def tables(self) -> list[analyst.FileInfo]:
        """The files that are tables."""
        return [each for each in self.files if each.name.endswith(TABLE_ENDINGS)]


def transcript(events: Iterable[Event]) -> Transcript:
    """Read events in their order."""
    read = Transcript()
    for event in events:
        read.run_id = event.run_id
        _take(read, event)
    return read


def _take(read: Transcript, event: Event) -> None:
    match event:
        case Started():
            read.thread_id, read.model = event.thread_id, event.model
            read.question = event.question
        case ProgramStarted():
            read.programs.append(Program(event.round, event.code))
        case ProgramOutput() if read.programs:
            read.programs[-1].outputs.append((event.stream, event.text))
        case FigureReady():
            if event.file_id not in {each.file_id for each in read.figures}:
                read.figures.append(event)
            if read.programs:
                read.programs[-1].figures.append(event.name)
        case ProgramFinished() if read.programs:
            last = read.programs[-1]
            last.outcome, last.error, last.elapsed_s = event.outcome, event.error, event.elapsed_s
        case Completed():
            read.answer, read.finish, read.usage = event.answer, event.finish, event.usage
            read.files, read.written = event.files, event.written
