"""A run on the terminal: each event as a person reads it."""

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.text import Text as Styled

from isobath_client import display
from isobath_client.events import (
    ArtifactReady,
    BlockClosed,
    Cancelled,
    Completed,
    Event,
    Failed,
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

# what stands in a block of these kinds is told by other events
QUIET = frozenset({"code", "execute", "file"})


class Renderer:
    """Prints events as they come. The answer is held until its block closes, to be laid out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._answer: list[str] = []

    def show(self, event: Event) -> None:
        """Print one event; those without a rendering of their own are passed over."""
        match event:
            case Started():
                told = f"thread {event.thread_id} · {event.model} · sandbox: {event.tier}"
                self._line(told)
            case FileReady():
                self._file_ready(event)
            case Text(kind="answer"):
                self._answer.append(event.text)
            case Text() if event.kind not in QUIET:
                self._console.print(Styled(event.text, style="italic"), end="")
            case BlockClosed(kind="answer"):
                self._console.rule("Answer")
                self._console.print(Markdown("".join(self._answer)))
                self._answer.clear()
            case BlockClosed() if event.kind not in QUIET:
                self._console.print()
            case ProgramStarted():
                self._console.rule(f"Program {event.round}", style="blue")
                self._console.print(Syntax(event.code, "python", word_wrap=True))
            case ProgramOutput():
                style = "red" if event.stream in {"stderr", "traceback"} else "green"
                self._console.print(Styled(event.text, style=style), end="")
            case ProgramFinished():
                told = f"\n{event.outcome} after {event.elapsed_s:.2f} s {event.error}"
                self._line(told.rstrip())
            case ArtifactReady():
                told = f"+ {event.name} ({event.size_bytes:,} bytes) {event.file_id}"
                self._line(told, "magenta")
            case FigureReady():
                self._line(f"+ figure {event.name} {event.file_id}", "magenta")
            case Notice():
                self._line(f"! {event.text}", "yellow")
            case Failed():
                told = f"failed ({event.reason}): {event.message} {event.remedy}"
                self._line(told.rstrip(), "bold red")
            case Cancelled():
                self._line("cancelled", "bold yellow")
            case Completed():
                self._line(display.told(event.usage))
            case Other():
                self._line(f"… {event.kind or 'a step that this version does not know'}")

    def _line(self, text: str, style: str = "dim") -> None:
        self._console.print(Styled(text, style=style))

    def _file_ready(self, ready: FileReady) -> None:
        rows = "" if ready.rows is None else f", {ready.rows:,} rows"
        cut = f" (cut by {ready.truncated_by})" if ready.truncated else ""
        told = f"↓ {ready.source}: {ready.path}, {ready.size_bytes:,} bytes{rows}{cut}"
        self._line(told, "cyan")
