"""`isobath ask` and `isobath models`."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands import completion
from isobath_client.commands.approvals import Deciding, Guarded
from isobath_client.commands.gallery import Gallery
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    complain,
    console,
    errors,
    examples,
    json_line,
    say,
    show,
    table_of,
)
from isobath_client.events import ENDS, Completed, Event
from isobath_client.places import inside
from isobath_client.render import Renderer
from isobath_client.requests import Asking
from isobath_client.sync.client import Isobath

Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        "-d",
        help="SOURCE, SOURCE:PATH, SOURCE:GLOB or SOURCE=SELECT …; may be given several times.",
        autocompletion=completion.selections,
    ),
]
ASK = examples(
    "isobath ask 'Which region returns most?' --data sales:public.orders",
    "isobath ask 'And by month?' --thread thread-… --save report",
    "isobath ask - --data 'lake:2026/*.csv' < question.txt > answer.md",
)


class Ended(KeyboardInterrupt):
    """Somebody told the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def ask(
    question: Annotated[str, typer.Argument(help="In your words; - reads stdin.")],
    data: Data = None,
    file: Annotated[list[Path] | None, typer.Option("--file", "-f", help="A file to send.")] = None,
    thread: Annotated[
        str,
        typer.Option(help="Go on with this thread.", autocompletion=completion.thread_ids),
    ] = "",
    model: Annotated[
        str, typer.Option(help="One of `isobath models`.", autocompletion=completion.model_ids)
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Rows of each selection at most, 0 = all; else the service's."),
    ] = None,
    approval: Annotated[
        list[Guarded] | None,
        typer.Option(help="What waits for your approval; may be given several times."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save report and figures here.")] = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Print the run's id and leave; see `isobath runs watch`."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Ask a question, and watch the analyst work. Ctrl-C cancels the run.

    Into a pipe or a file goes the answer alone, as Markdown; the steps are told on stderr."""
    if background and save:
        raise typer.BadParameter("--save needs the end of the run; see `isobath runs export`")
    asking: Asking = {
        "data": data or (),
        "files": list(file or ()),
        "thread": thread,
        "model": model,
        "max_rows": limit,
        "approval": [each.value for each in approval or ()],
    }
    text = sys.stdin.read() if question == "-" else question
    with connected() as client:
        if background:
            _start(client, text, asking, as_json=as_json)
            return
        last = _follow(client, text, asking, save, as_json=as_json)
        if save and isinstance(last, Completed):
            _save(client, last, save, quiet=as_json)
    if not isinstance(last, Completed):
        raise typer.Exit(1)


def _start(client: Isobath, question: str, asking: Asking, *, as_json: bool) -> None:
    run = client.start(question, **asking)
    if as_json:
        json_line(run)
    else:
        # the id alone where a script reads it
        say(run.run_id)
        complain(f"It goes on; follow it: isobath runs watch {run.run_id}", "dim")


def _follow(
    client: Isobath, question: str, asking: Asking, save: Path | None, *, as_json: bool
) -> Event | None:
    """The run's last event. Interrupted, it is cancelled."""
    last: Event | None = None
    with _told_to_end():
        try:
            with (
                showing(client, save, as_json=as_json) as tell,
                closing(client.stream(question, **asking)) as events,
            ):
                for last in events:
                    tell(last)
        except KeyboardInterrupt as interrupted:
            _tell_interrupted(client, last)
            raise typer.Exit(getattr(interrupted, "exit_code", 130)) from None
    return last


@contextmanager
def showing(
    client: Isobath, save: Path | None = None, *, as_json: bool
) -> Iterator[Callable[[Event], object]]:
    """Something that prints events."""
    if as_json:
        yield lambda event: json_line(event.wire)
        return
    steps = console if console.is_terminal else errors
    gallery = Gallery(client, save) if steps.is_terminal else None
    decide = Deciding(client) if steps.is_terminal and sys.stdin.isatty() else None
    with Renderer(steps, answers=console, gallery=gallery, decide=decide) as renderer:
        yield renderer.show


def _tell_interrupted(client: Isobath, last: Event | None) -> None:
    if last is None or isinstance(last, ENDS):
        complain("interrupted", "bold yellow")
        return
    state = messages.RunState.Name(client.runs.get(last.run_id).state)
    word = state.removeprefix("RUN_STATE_").lower()
    complain(f"interrupted: {last.run_id} is {word}", "bold yellow")


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Within it SIGTERM, and the end of the terminal, come as Ctrl-C does: a run that is left must
    be cancelled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    # Windows has no SIGHUP
    ends = [
        signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if name in signal.Signals.__members__
    ]
    before = {each: signal.signal(each, end) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _save(client: Isobath, completed: Completed, folder: Path, *, quiet: bool) -> None:
    saved: list[Path] = []
    for info in completed.files:
        path = inside(folder, info.name, saved)
        path.parent.mkdir(parents=True, exist_ok=True)
        saved.append(client.files.download(info.id, path))
        if not quiet:
            complain(f"saved {path}", "dim")


def models(as_json: AsJson = False) -> None:
    """The models that answer questions."""

    def row(model: messages.ChatModel) -> tuple[str, ...]:
        return model.id, "yes" if model.is_agent else "no", model.description

    with connected() as client:
        table = table_of("Models", "id", "agent", "description")
        show(table, client.models(), row, as_json=as_json)
