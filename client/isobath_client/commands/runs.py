"""`isobath runs`."""

import sys
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client import display, records
from isobath_client.commands import approvals, completion
from isobath_client.commands.ask import showing
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    console,
    errors,
    examples,
    json_line,
    moment,
    plain,
    say,
    show,
    table_of,
)
from isobath_client.events import Completed, Event, usage_of
from isobath_client.transcripts import transcript

runs = typer.Typer(no_args_is_help=True, help="Runs: list, show, follow, approve, cancel, export.")
runs.command("approvals", epilog=approvals.LIST)(approvals.list_approvals)
runs.command("approve", epilog=approvals.APPROVE)(approvals.approve)
runs.command("refuse", epilog=approvals.REFUSE)(approvals.refuse)
RunId = approvals.RunId


class Export(StrEnum):
    """What a run is exported as."""

    NOTEBOOK = "notebook"
    HTML = "html"


def state(run: messages.Run) -> str:
    return messages.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()


@runs.command("list", epilog=examples("isobath runs list --thread thread-…"))
def list_runs(
    thread: Annotated[
        str, typer.Option(help="Of this thread only.", autocompletion=completion.thread_ids)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Runs, newest first."""

    def row(run: messages.Run) -> tuple[str, ...]:
        begun, wrong = moment(run.created_at), run.error_message.partition("\n")[0]
        return run.run_id, run.thread_id, begun, state(run), run.model, wrong

    with connected() as client:
        table = table_of("Runs", "run", "thread", "begun", "state", "model", "error")
        show(table, client.runs.list(thread=thread), row, as_json=as_json)


@runs.command("show", epilog=examples("isobath runs show run-…"))
def show_run(run: RunId, as_json: AsJson = False) -> None:
    """How a run stands, what it used, and its answer."""
    with connected() as client:
        found = client.runs.get(run)
        ended = found.HasField("ended_at")
        told = transcript(client.runs.watch(run) if ended else ())
    if as_json:
        json_line({**plain(found), "question": told.question, "answer": told.answer})
        return
    say(f"{found.run_id} of {found.thread_id}: {state(found)}")
    used = display.told(usage_of(found.usage))
    say(display.between(found.model, moment(found.created_at), used))
    if found.error_message:
        say(f"{found.error_reason}: {found.error_message}", "red")
    if told.answer and console.is_terminal:
        console.print(Markdown(told.answer))
    elif told.answer:
        say(told.answer)


@runs.command("watch", epilog=examples("isobath runs watch run-…"))
def watch(
    run: RunId,
    after: Annotated[int, typer.Option(help="Skip events up to this number.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Follow a run, from its first event or a later one. Ctrl-C leaves it going."""
    last: Event | None = None
    try:
        with (
            connected() as client,
            showing(client, as_json=as_json) as tell,
            closing(client.watch(run, after=after)) as events,
        ):
            for last in events:
                tell(last)
    except KeyboardInterrupt:
        errors.print(f"{run} goes on; end it: isobath runs cancel {run}", soft_wrap=True)
        raise
    if last is not None and not isinstance(last, Completed):
        raise typer.Exit(1)


@runs.command("cancel", epilog=examples("isobath runs cancel run-…"))
def cancel(run: RunId, as_json: AsJson = False) -> None:
    """Stop a run."""
    with connected() as client:
        cancelled = client.runs.cancel(run)
    if as_json:
        json_line(cancelled)
    else:
        say(f"{run}: {state(cancelled)}")


@runs.command(
    "conversation", epilog=examples("isobath runs conversation run-… --json >> runs.jsonl")
)
def conversation(run: RunId, as_json: AsJson = False) -> None:
    """What the model saw and wrote in a run that has ended, word by word; as JSON, a record for
    training."""
    with connected() as client:
        found = client.runs.conversation(run)
    if as_json:
        sys.stdout.write(records.line(found))
        return
    for message in found.messages:
        say(f"[{message.role}]", "bold")
        say(message.content)


@runs.command("export", epilog=examples("isobath runs export run-… --format html -o report.html"))
def export(
    run: RunId,
    format: Annotated[Export, typer.Option(help="As what.")] = Export.NOTEBOOK,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder, or a file.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Save a run that has ended: a notebook that replays it, or one page with its figures."""
    with connected() as client:
        saved = client.runs.export(run, output, format=format.value)
    if as_json:
        json_line({"run_id": run, "path": str(saved)})
    else:
        say(f"saved {saved}")
