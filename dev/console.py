"""What a person sees of a platform that starts: a line for each step, with a bar where it
counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class Step:
    """One step under way."""

    _progress: Progress
    _task: TaskID

    def at(self, done: int, total: int, text: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, text=text)


class Board:
    """Steps as live lines on a terminal; elsewhere one plain line for each step that ended."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=28),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[text]}"),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def live(self) -> Iterator[None]:
        with self._progress:
            yield

    @contextmanager
    def step(self, name: str, text: str = "") -> Iterator[Step]:
        """Show a step; it is done when the block is left, and marked when the block failed."""
        task = self._progress.add_task(name, total=None, text=text)
        try:
            yield Step(self._progress, task)
        except BaseException:
            self._progress.update(task, description=f"[red]{name}")
            raise
        total = self._progress.tasks[task].total or 1
        self._progress.update(task, total=total, completed=total)
        if not self.console.is_terminal:
            self.say(f"{name}: ready")

    def say(self, text: str) -> None:
        """A line above the steps, as plain text."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
