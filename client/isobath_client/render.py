"""A run on the terminal: each event as a person reads it."""

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.text import Text

from isobath.analyst.v1 import analyst_pb2 as messages

QUIET = frozenset({messages.BLOCK_KIND_CODE, messages.BLOCK_KIND_EXECUTE, messages.BLOCK_KIND_FILE})


class Renderer:
    """Prints events as they come. The answer is held until its block closes, to be laid out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._answer: list[str] = []

    def show(self, event: messages.Event) -> None:
        """Print one event; those without a rendering of their own are passed over."""
        kind = event.WhichOneof("event")
        handler = getattr(self, f"_{kind}", None)
        if handler:
            handler(getattr(event, kind))

    def _line(self, text: str, style: str = "dim") -> None:
        self._console.print(Text(text, style=style))

    def _started(self, started: messages.RunStarted) -> None:
        self._line(f"thread {started.thread_id} · {started.model} · sandbox: {started.tier}")

    def _file_ready(self, ready: messages.FileReady) -> None:
        rows = f", {ready.rows:,} rows" if ready.HasField("rows") else ""
        cut = f" (cut by {ready.truncated_by})" if ready.truncated else ""
        self._line(f"↓ {ready.source}: {ready.path}, {ready.size_bytes:,} bytes{rows}{cut}", "cyan")

    def _block_text(self, block: messages.BlockText) -> None:
        if block.kind == messages.BLOCK_KIND_ANSWER:
            self._answer.append(block.text)
        elif block.kind not in QUIET:
            self._console.print(Text(block.text, style="italic"), end="")

    def _block_closed(self, block: messages.BlockClosed) -> None:
        if block.kind == messages.BLOCK_KIND_ANSWER:
            self._console.rule("Answer")
            self._console.print(Markdown("".join(self._answer)))
            self._answer.clear()
        elif block.kind not in QUIET:
            self._console.print()

    def _program_started(self, program: messages.ProgramStarted) -> None:
        self._console.rule(f"Program {program.round}", style="blue")
        self._console.print(Syntax(program.code, "python", word_wrap=True))

    def _program_output(self, output: messages.ProgramOutput) -> None:
        style = "red" if output.stream in {"stderr", "traceback"} else "green"
        self._console.print(Text(output.text, style=style), end="")

    def _program_finished(self, program: messages.ProgramFinished) -> None:
        seconds = program.elapsed.ToMilliseconds() / 1000
        self._line(f"\n{program.outcome} after {seconds:.2f} s {program.error}".rstrip())

    def _artifact(self, artifact: messages.ArtifactReady) -> None:
        self._line(
            f"+ {artifact.name} ({artifact.size_bytes:,} bytes) {artifact.file_id}", "magenta"
        )

    def _figure(self, figure: messages.Figure) -> None:
        self._line(f"+ figure {figure.name} {figure.file_id}", "magenta")

    def _notice(self, notice: messages.Notice) -> None:
        self._line(f"! {notice.text}", "yellow")

    def _failed(self, failed: messages.RunFailed) -> None:
        self._line(f"failed ({failed.reason}): {failed.message} {failed.remedy}", "bold red")

    def _cancelled(self, _: messages.RunCancelled) -> None:
        self._line("cancelled", "bold yellow")

    def _completed(self, completed: messages.RunCompleted) -> None:
        usage = completed.usage
        self._line(
            f"{usage.rounds} rounds · {usage.completion_tokens:,} tokens · "
            f"{usage.fetched_rows:,} rows fetched · {usage.elapsed.ToMilliseconds() / 1000:.1f} s"
        )
