"""A run on the terminal: each event as a person reads it."""

from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text as Styled

from isobath_client import display
from isobath_client.events import (
    ApprovalDecided,
    ApprovalRequested,
    ArtifactReady,
    BlockClosed,
    BlockOpened,
    Cancelled,
    Completed,
    Event,
    Failed,
    FetchProgress,
    FigureReady,
    FileReady,
    Notice,
    Other,
    ProgramFinished,
    ProgramOutput,
    ProgramStarted,
    Started,
    Text,
)

E = TypeVar("E")
# what stands in a block of these kinds is told by other events
QUIET = frozenset({"code", "execute", "file"})
DOING = {
    "code": "writes a program",
    "answer": "writes the answer",
    "understand": "reads the data",
}
BAR_WIDTH = 24
LINE_CHARACTERS = 400


class Gallery(Protocol):
    """Where figures and tables of a run are fetched from, to be shown."""

    def figure(self, event: FigureReady) -> Sequence[RenderableType]: ...

    def table(self, event: ArtifactReady) -> Sequence[RenderableType]: ...


class Renderer:
    """Prints events as they come. The answer is held until its block closes, to be laid out.

    Steps go to `steps` and the answer to `answers`, the same unless given: laid out on a terminal,
    else as the Markdown that it is. `decide` asks whoever sits there for an approval. As a context
    manager, on a terminal, it also tells at the foot of the screen what goes on.
    """

    def __init__(
        self,
        steps: Console,
        *,
        answers: Console | None = None,
        gallery: Gallery | None = None,
        decide: Callable[[ApprovalRequested], object] | None = None,
    ) -> None:
        self._steps = steps
        self._answers = answers or steps
        self._gallery = gallery
        self._decide = decide
        self._answer: list[str] = []
        self._held: list[str] = []
        self._live: Live | None = None
        self._doing = ""
        self._fetching: dict[int, FetchProgress] = {}
        # a line that has not ended: at the foot, or, without one, on the screen already
        self._line = Styled()
        self._open = False
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        if self._steps.is_terminal:
            self._live = Live(
                console=self._steps, transient=True, get_renderable=self._foot, refresh_per_second=8
            )
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_line()
        if self._live is not None:
            self._live.stop()
            self._live = None
        for answer in self._held:
            self._tell_answer(answer)

    def show(self, event: Event) -> None:
        """Print one event; those without a rendering of their own are passed over."""
        match event:
            case Started():
                tier = event.tier and f"sandbox: {event.tier}"
                self._say(display.between(f"thread {event.thread_id}", event.model, tier))
                self._doing = "begins"
            case FetchProgress():
                self._fetching[event.selection] = event
            case FileReady():
                self._file_ready(event)
            case BlockOpened():
                self._doing = DOING.get(event.kind, "thinks")
            case Text(kind="answer"):
                self._answer.append(event.text)
            case Text() if event.kind not in QUIET:
                self._write(event.text, "italic")
            case BlockClosed():
                self._block_closed(event)
            case _:
                self._show_program(event)

    def _show_program(self, event: Event) -> None:
        match event:
            case ProgramStarted():
                self._end_line()
                self._steps.rule(f"Program {event.round}", style="blue")
                self._print(Syntax(event.code, "python", word_wrap=True))
                self._doing = f"runs program {event.round}"
            case ProgramOutput():
                style = "red" if event.stream in {"stderr", "traceback"} else "green"
                self._write(event.text, style)
            case ProgramFinished():
                told = f"{event.outcome} after {event.elapsed_s:.2f} s {event.error}"
                self._say(told.rstrip())
                self._doing = "reads what came out"
            case ArtifactReady():
                told = f"+ {event.name} ({event.size_bytes:,} bytes) {event.file_id}"
                self._say(told, "magenta")
                self._look(self._gallery.table if self._gallery else None, event)
            case FigureReady():
                self._say(f"+ figure {event.name} {event.file_id}", "magenta")
                self._look(self._gallery.figure if self._gallery else None, event)
            case _:
                self._show_end(event)

    def _show_end(self, event: Event) -> None:
        match event:
            case ApprovalRequested():
                self._ask(event)
            case ApprovalDecided():
                self._say(decided(event), "yellow")
            case Notice():
                self._say(f"! {event.text}", "yellow")
            case Failed():
                told = f"failed ({event.reason}): {event.message} {event.remedy}"
                self._say(told.rstrip(), "bold red")
            case Cancelled():
                self._say("cancelled", "bold yellow")
            case Completed():
                self._say(display.told(event.usage))
            case Other():
                self._say(f"… {event.kind or 'a step that this version does not know'}")

    def _block_closed(self, event: BlockClosed) -> None:
        if event.kind == "answer":
            self._end_line()
            answer = "".join(self._answer)
            # what goes elsewhere may be seen on the same screen, and must not meet the foot there
            if self._live is not None and self._answers is not self._steps:
                self._held.append(answer)
            else:
                self._tell_answer(answer)
            self._answer.clear()
        elif event.kind not in QUIET:
            self._end_line()

    def _ask(self, event: ApprovalRequested) -> None:
        """The foot makes way for who answers."""
        self._end_line()
        self._say(wish(event), "bold yellow")
        if event.sql:
            self._print(Syntax(event.sql, "sql", word_wrap=True))
        if event.parameters:
            self._say(f"with {', '.join(map(repr, event.parameters))}", "yellow")
        self._doing = "waits for an approval"
        if self._decide is None:
            self._say(f"isobath runs approve {event.run_id} {event.approval_id}")
            return
        if self._live is not None:
            self._live.stop()
        try:
            self._decide(event)
        finally:
            if self._live is not None:
                self._live.start()

    def _tell_answer(self, answer: str) -> None:
        if self._answers.is_terminal:
            self._answers.rule("Answer")
            self._answers.print(Markdown(answer))
        else:
            self._answers.print(
                answer.strip("\n"), markup=False, highlight=False, soft_wrap=True, emoji=False
            )

    def _file_ready(self, ready: FileReady) -> None:
        self._fetching.pop(ready.selection, None)
        rows = "" if ready.rows is None else f", {ready.rows:,} rows"
        cut = f" (cut by {ready.truncated_by})" if ready.truncated else ""
        told = f"↓ {ready.source}: {ready.path}, {ready.size_bytes:,} bytes{rows}{cut}"
        self._say(told, "cyan")

    def _look(self, look: Callable[[E], Sequence[RenderableType]] | None, event: E) -> None:
        for each in look(event) if look is not None else ():
            self._print(each)

    # Lines: a live foot must not stand behind half of one

    def _say(self, text: str, style: str = "dim") -> None:
        self._end_line()
        self._print(Styled(text, style=style))

    def _print(self, what: RenderableType) -> None:
        self._steps.print(what, soft_wrap=isinstance(what, Styled))

    def _write(self, text: str, style: str) -> None:
        """A piece of a line, or of several."""
        if self._live is None:
            self._steps.print(Styled(text, style=style), end="", soft_wrap=True)
            self._open = not text.endswith("\n") if text else self._open
            return
        self._line.append(text, style=style)
        *whole, self._line = self._line.split("\n", allow_blank=True)
        for line in whole:
            self._print(_cut(line))

    def _end_line(self) -> None:
        if self._open:
            self._steps.print()
            self._open = False
        if self._line.plain:
            self._print(self._line)
            self._line = Styled()

    # The foot

    def _foot(self) -> RenderableType:
        parts: list[RenderableType] = [self._line] if self._line.plain else []
        if self._fetching:
            grid = Table.grid(padding=(0, 1))
            for each in self._fetching.values():
                grid.add_row(*_fetch(each))
            parts.append(grid)
        if self._doing:
            self._spinner.update(text=Styled(f"the analyst {self._doing}", style="dim"))
            parts.append(self._spinner)
        return Group(*parts)


def wish(event: ApprovalRequested) -> str:
    """What waits for an approval, in a line."""
    if event.operation == "query":
        return f"? The program would send this to {event.source}:"
    over = ", over what is there" if event.overwrite else ""
    return f"? To be written to {event.source}: {event.path}{over}"


def decided(event: ApprovalDecided) -> str:
    word = "approved" if event.approved else "refused"
    how = {"rest_of_run": " as before", "expired": "", "withdrawn": ""}.get(event.how, "")
    return f"{word}{how}{': ' if event.comment else ''}{event.comment}"


def _cut(line: Styled) -> Styled:
    """The start of a line that would fill the screen."""
    if len(line) <= LINE_CHARACTERS:
        return line
    more = f" … {len(line) - LINE_CHARACTERS:,} more characters"
    return line[:LINE_CHARACTERS].append(more, style="dim")


def _fetch(progress: FetchProgress) -> tuple[RenderableType, ...]:
    """Source, how much has come, and a bar where it is known how much will."""
    rows = f"{progress.rows:,} rows, " if progress.rows else ""
    told = f"↓ {progress.source}: {rows}{progress.bytes:,} bytes"
    if not progress.total_bytes:
        return (told,)
    bar = ProgressBar(progress.total_bytes, progress.bytes, width=BAR_WIDTH)
    return told, bar, f"of {progress.total_bytes:,}"
