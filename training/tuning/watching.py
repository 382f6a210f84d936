"""What goes on beside the steps: losses kept, progress told, signals taken."""

import importlib
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_TELL_S = 10.0


@dataclass(frozen=True)
class Point:
    """One entry of the log; a loss that was not measured there is None."""

    step: int
    epoch: float
    train_loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None


def points(history: list[dict[str, float]]) -> list[Point]:
    """Of the trainer's log, which comes back from a checkpoint too."""
    return [
        Point(
            int(entry["step"]),
            entry.get("epoch", 0.0),
            entry.get("loss"),
            entry.get("eval_loss"),
            entry.get("learning_rate"),
            entry.get("grad_norm"),
        )
        for entry in history
        if "loss" in entry or "eval_loss" in entry
    ]


@dataclass
class Stopping:
    """The signal that asked for an end, if one did."""

    signal: int = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run at the next step; a second one ends it at once."""
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

        def asked(number: int, _frame: FrameType | None) -> None:
            self.signal = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for each in before:
            signal.signal(each, asked)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


@dataclass
class Teller:
    """A bar on a terminal, lines elsewhere."""

    console: Console = field(default_factory=lambda: Console(file=sys.stdout))
    _bar: Progress | None = None
    _task: TaskID | None = None
    _told: float = 0.0

    def begin(self, steps: int, done: int) -> None:
        """`done` steps are of the run that is resumed."""
        if self.console.is_terminal:
            columns = (
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self.console)
            self._bar.start()
            self._task = self._bar.add_task("", total=steps, completed=done)

    def step(self, step: int, steps: int, entry: dict[str, float]) -> None:
        """After a step; `entry` holds what was measured."""
        told = _told(entry)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, description=told)
        elif "eval_loss" in entry or step == steps or time.monotonic() - self._told > _TELL_S:
            self._told = time.monotonic()
            print(f"step {step}/{steps} {told}", flush=True)

    def end(self) -> None:
        """Leaves the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


def _told(entry: dict[str, float]) -> str:
    names = {"loss": "loss", "eval_loss": "eval loss", "learning_rate": "lr"}
    return "  ".join(f"{names[key]} {entry[key]:.4g}" for key in names if key in entry)


def callback(teller: Teller, stopping: Stopping) -> Any:
    """Of the trainer; its base class is there only where transformers is."""
    base: Any = importlib.import_module("transformers").TrainerCallback

    class Watch(base):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            teller.begin(state.max_steps, state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if stopping.signal:
                control.should_save = True
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and ("loss" in logs or "eval_loss" in logs):
                teller.step(state.global_step, state.max_steps, logs)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            teller.end()

    return Watch()
