"""The `isobath` command."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.access_commands import keys, usage, whoami
from isobath_client.doctor import findings
from isobath_client.errors import IsobathError
from isobath_client.events import Completed, Event
from isobath_client.printing import (
    AsJson,
    connected,
    console,
    json_line,
    print_json,
    print_table,
    show,
    table_of,
)
from isobath_client.render import Renderer
from isobath_client.selections import selection
from isobath_client.sync.client import Isobath
from servicekit.chain import ChainBroken, Head, followed, parse_head

app = typer.Typer(no_args_is_help=True, help="Ask questions of your data.")
sources = typer.Typer(no_args_is_help=True, help="Data sources: add, try, look inside, query.")
runs = typer.Typer(no_args_is_help=True, help="Runs: list, follow, cancel.")
files = typer.Typer(no_args_is_help=True, help="Files: upload, list, download.")
threads = typer.Typer(no_args_is_help=True, help="Threads: list, read, remove.")
app.add_typer(threads, name="threads")
app.add_typer(sources, name="sources")
app.add_typer(runs, name="runs")
app.add_typer(files, name="files")
audit = typer.Typer(no_args_is_help=True, help="The trail of secrets and grants.")
app.add_typer(audit, name="audit")
app.add_typer(keys, name="keys")
app.command()(whoami)
app.command()(usage)
SourceName = Annotated[str, typer.Argument(help="The source's name or id.")]


def _entry_kind(entry: connector.Entry) -> str:
    return connector.EntryKind.Name(entry.kind).removeprefix("ENTRY_KIND_").lower()


_MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "problem": "[red]✗[/]"}


@app.command("doctor")
def examine(
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON lines.")] = False,
) -> None:
    """Look at every service, the sandbox, the models and every source; say what to mend.

    Ends with 1 where there is a problem."""
    well = True
    with connected() as client:
        for found in findings(client):
            well = well and found.verdict != "problem"
            if as_json:
                sys.stdout.write(json.dumps(asdict(found)) + "\n")
                continue
            told = escape(f"{found.what:<24} {found.told}")
            console.print(f"{_MARKS[found.verdict]} {told}", highlight=False)
            if found.remedy:
                console.print(f"  {escape(found.remedy)}", style="dim", highlight=False)
    if not well:
        raise typer.Exit(1)


@audit.command("verify")
def audit_verify(
    file: Annotated[
        Path, typer.Argument(help="What `python -m services.credentials audit export` gave.")
    ],
    head: Annotated[
        str, typer.Option(help="NUMBER:DIGEST of a record, from the log: it must be in the file.")
    ] = "",
) -> None:
    """Find what was changed in an exported trail, removed from it, or cut off."""
    try:
        wanted = parse_head(head) if head else None
        with file.open() as lines:
            end, seen = Head(), wanted is None
            for line in lines:
                end = followed([line], end)
                seen = seen or end == wanted
    except (ChainBroken, OSError, ValueError) as broken:
        console.print(f"broken at {broken}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from broken
    if not seen:
        console.print(f"broken: record {head} is not in it", style="red", soft_wrap=True)
        raise typer.Exit(1)
    console.print(f"whole: {end.number} records, head {end}", markup=False, soft_wrap=True)


@app.command()
def ask(
    question: str,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", "-d", help="SOURCE, SOURCE:PATH, SOURCE:GLOB or SOURCE=SELECT …"),
    ] = None,
    file: Annotated[list[Path] | None, typer.Option("--file", "-f", help="A file to send.")] = None,
    thread: Annotated[str, typer.Option(help="Go on with this thread.")] = "",
    model: Annotated[str, typer.Option(help="A model of `isobath models`.")] = "",
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Rows of each selection at most, 0 = all; else the service's."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save report and figures here.")] = None,
    background: Annotated[
        bool, typer.Option(help="Print the run's id and leave; see `isobath runs watch`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Ask a question, and watch the analyst work."""
    if background and save:
        raise typer.BadParameter("--save needs the end of the run; see `isobath runs export`")
    renderer = Renderer(console)
    with connected() as client:
        uploaded = [client.files.upload(path).id for path in file or ()]
        if background:
            run = client.start(
                question,
                data=data or (),
                files=uploaded,
                thread=thread,
                model=model,
                max_rows=limit,
            )
            if as_json:
                json_line(run)
            else:
                goes_on = f"{run.run_id} goes on; follow it: isobath runs watch {run.run_id}"
                console.print(goes_on, soft_wrap=True)
            return
        last: Event | None = None
        for last in client.stream(
            question,
            data=data or (),
            files=uploaded,
            thread=thread,
            model=model,
            max_rows=limit,
        ):
            if as_json:
                json_line(last.wire)
            else:
                renderer.show(last)
        if save and isinstance(last, Completed):
            _save(client, last, save)
    if not isinstance(last, Completed):
        raise typer.Exit(1)


def _state(run: messages.Run) -> str:
    return messages.RunState.Name(run.state).removeprefix("RUN_STATE_").lower()


def _save(client: Isobath, completed: Completed, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for info in completed.files:
        console.print(f"saved {client.files.download(info.id, folder)}")


@app.command()
def models(as_json: AsJson = False) -> None:
    """The models that answer questions."""

    def row(model: messages.ChatModel) -> tuple[str, ...]:
        return model.id, "yes" if model.is_agent else "no", model.description

    with connected() as client:
        table = table_of("Models", "id", "agent", "description")
        show(table, client.models(), row, as_json=as_json)


@sources.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """Your data sources."""

    def row(source: messages.DataSource) -> tuple[str, ...]:
        return source.name, source.type, source.id, ", ".join(source.teams), source.description

    with connected() as client:
        table = table_of("Data sources", "name", "type", "id", "teams", "description")
        show(table, client.sources.list(), row, as_json=as_json)


@sources.command("types")
def types() -> None:
    """What can be a data source, and which settings each type takes."""
    with connected() as client:
        for kind in client.sources.types():
            console.rule(f"{kind.title} ({kind.type})")
            for template in kind.templates:
                console.print(template.description)
                print_json(template.example)


@sources.command("add")
def add_source(
    body: Annotated[
        Path, typer.Argument(help="JSON file as `isobath sources types` shows; - reads stdin.")
    ],
) -> None:
    """Register a data source. Secrets are read from the file, never from the command line."""
    text = sys.stdin.read() if str(body) == "-" else body.read_text()
    given = json.loads(text)
    with connected() as client:
        source = client.sources.add(
            given["name"],
            given["type"],
            config=given.get("config", {}),
            secrets=given.get("secrets", {}),
            description=given.get("description", ""),
            teams=given.get("teams", ()),
            guide=given.get("guide"),
        )
    console.print(f"{source.name} is {source.id}; try it with: isobath sources test {source.name}")


@sources.command("share")
def share_source(
    source: SourceName,
    team: Annotated[
        list[str] | None, typer.Option(help="Its members see and ask it; * = everybody.")
    ] = None,
) -> None:
    """Share a source with these teams and no others; with nobody where none is named."""
    with connected() as client:
        shared = client.sources.share(source, team or ())
    told = ", ".join(shared.teams) or "nobody"
    console.print(f"{shared.name} is shared with {told}.", markup=False, soft_wrap=True)


@sources.command("guide")
def guide_source(
    source: SourceName,
    body: Annotated[
        Path | None, typer.Argument(help="JSON file of notes and queries; - reads stdin.")
    ] = None,
) -> None:
    """Show what the model is told of a source beyond its schema, or replace it from a file."""
    with connected() as client:
        if body is None:
            found = next((s for s in client.sources.list() if source in (s.name, s.id)), None)
            if found is None:
                raise typer.BadParameter(f"there is no data source {source}")
        else:
            text = sys.stdin.read() if str(body) == "-" else body.read_text()
            found = client.sources.guide(source, json.loads(text))
    print_json(found.guide)


@sources.command("remove")
def remove_source(source: SourceName) -> None:
    """Delete a source, its secret and its live connections."""
    with connected() as client:
        client.sources.remove(source)
    console.print(f"{source} is gone.")


@sources.command("test")
def check_source(source: SourceName) -> None:
    """Try a source: reach, sign in, read."""
    with connected() as client:
        result = client.sources.check(source)
    for step in result.check.steps:
        console.print(
            f"{'✓' if step.passed else '✗'} {step.name} {step.message} {step.remedy}".rstrip()
        )
    for warning in result.check.warnings:
        console.print(f"! {warning}")
    if result.check.advice:
        console.print(result.check.advice)
    if not result.ok:
        raise typer.Exit(1)


class Include(StrEnum):
    """What may be shown beside what is there now."""

    SNAPSHOTS = "snapshots"
    VERSIONS = "versions"
    DELETED = "deleted"
    TAGS = "tags"


@sources.command("browse")
def browse(
    source: SourceName,
    path: Annotated[str, typer.Argument(help="A schema, or a prefix.")] = "",
    glob: Annotated[str, typer.Option(help="A pattern over whole names.")] = "",
    include: Annotated[
        list[Include] | None,
        typer.Option(help="Beside what is there now; all but tags with --glob."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What lies in a source."""
    table = table_of(f"{source}/{path}", "path", "kind", "bytes", "rows (about)", "comment")
    if include:
        table.add_column("version", no_wrap=True)
        table.add_column("tags", overflow="fold")

    def row(entry: connector.Entry) -> tuple[str, ...]:
        size = f"{entry.size_bytes:,}" if entry.HasField("size_bytes") else ""
        rows = f"{entry.row_estimate:,}" if entry.HasField("row_estimate") else ""
        told = (entry.path, _entry_kind(entry), size, rows, entry.comment)
        tags = (f"{k[4:]}={v}" for k, v in entry.properties.items() if k.startswith("tag."))
        return (*told, entry.version, " ".join(tags)) if include else told

    with connected() as client:
        found = client.sources.browse(source, path, glob=glob, include=include or ())
        show(table, found, row, as_json=as_json)


@sources.command("schema")
def schema(source: SourceName, path: str, as_json: AsJson = False) -> None:
    """Columns of a relation, a blob, or a glob as one table."""
    with connected() as client:
        found = client.sources.schema(source, path)
    if as_json:
        json_line(found)
        return
    table = table_of(path, "column", "type", "nullable", "comment")
    for column in found.columns:
        table.add_row(column.name, column.type, "yes" if column.nullable else "no", column.comment)
    print_table(table)


@sources.command("query")
def query(
    text: Annotated[str, typer.Argument(help="SOURCE:PATH or SOURCE=SELECT …")],
    format: Annotated[str, typer.Option(help="csv, parquet, arrow, raw or unpacked.")] = "csv",
    version: Annotated[str, typer.Option(help="Of one blob, as browse told it.")] = "",
    limit: Annotated[int | None, typer.Option(help="Rows at most.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default stdout.")
    ] = None,
) -> None:
    """Stream a table, a query's result or a blob."""
    with connected() as client:
        chosen = selection(text)
        chosen.version = version
        events = client.sources.fetch(chosen, format=format, max_rows=limit)
        if output:
            with output.open("wb") as sink:
                _copy(events, sink.write)
        else:
            _copy(events, sys.stdout.buffer.write)


def _copy(events, write: Callable[[bytes], object]) -> None:  # type: ignore[no-untyped-def]
    for event in events:
        if event.WhichOneof("event") == "piece":
            write(event.piece)
        elif event.summary.truncated:
            Console(stderr=True).print(f"! cut by {event.summary.truncated_by}")


@runs.command("list")
def list_runs(
    thread: Annotated[str, typer.Option(help="Of this thread only.")] = "", as_json: AsJson = False
) -> None:
    """Runs, newest first."""

    def row(run: messages.Run) -> tuple[str, ...]:
        return run.run_id, run.thread_id, _state(run), run.model, run.error_message

    with connected() as client:
        table = table_of("Runs", "run", "thread", "state", "model", "error")
        show(table, client.runs.list(thread=thread), row, as_json=as_json)


@runs.command("watch")
def watch(
    run: str, after: Annotated[int, typer.Option(help="Skip events up to this number.")] = 0
) -> None:
    """Follow a run, from its first event or a later one."""
    renderer = Renderer(console)
    with connected() as client:
        for event in client.watch(run, after=after):
            renderer.show(event)


@threads.command("list")
def list_threads(as_json: AsJson = False) -> None:
    """Threads, newest first."""

    def row(thread: messages.Thread) -> tuple[str, ...]:
        moments = (thread.created_at, thread.expires_at)
        begun, kept = (f"{moment.ToDatetime():%Y-%m-%d %H:%M}" for moment in moments)
        return thread.thread_id, escape(thread.title), begun, kept

    with connected() as client:
        table = table_of("Threads", "thread", "title", "begun", "kept until")
        show(table, client.threads.list(), row, as_json=as_json)


@threads.command("show")
def show_thread(
    thread: str,
    as_json: AsJson = False,
) -> None:
    """What was said in a thread, and the files that it left."""
    with connected() as client:
        found = client.threads.get(thread)
    if as_json:
        json_line(found)
        return
    for message in found.messages:
        console.rule(message.role)
        console.print(message.content, markup=False, soft_wrap=True)
    for info in found.files:
        console.print(f"{info.id} {info.name} {info.size_bytes:,} bytes", markup=False)


@threads.command("remove")
def remove_thread(thread: str) -> None:
    """Delete a thread with its workspace, its runs and their files."""
    with connected() as client:
        client.threads.remove(thread)
    console.print(f"{thread} is gone.")


class Export(StrEnum):
    """What a run is exported as."""

    NOTEBOOK = "notebook"
    HTML = "html"


@runs.command("export")
def export(
    run: str,
    format: Annotated[Export, typer.Option(help="As what.")] = Export.NOTEBOOK,
    output: Annotated[Path, typer.Option(help="A folder, or a file.")] = Path(),
) -> None:
    """Save a run that has ended: a notebook that replays it, or one page with its figures."""
    with connected() as client:
        console.print(f"saved {client.runs.export(run, output, format=format.value)}")


@runs.command("cancel")
def cancel(run: str) -> None:
    """Stop a run."""
    with connected() as client:
        console.print(f"{run}: {_state(client.runs.cancel(run))}")


@files.command("upload")
def upload(path: Path) -> None:
    """Send a file, to ask about it later."""
    with connected() as client:
        info = client.files.upload(path)
    console.print(f"{info.id} {info.name} {info.size_bytes:,} bytes")


@files.command("list")
def list_files(as_json: AsJson = False) -> None:
    """Uploads and artifacts, newest first."""

    def row(info: messages.FileInfo) -> tuple[str, ...]:
        return info.id, info.name, f"{info.size_bytes:,}", info.purpose

    with connected() as client:
        table = table_of("Files", "id", "name", "bytes", "purpose")
        show(table, client.files.list(), row, as_json=as_json)


@files.command("download")
def download(file_id: str, into: Annotated[Path, typer.Argument()] = Path()) -> None:
    """Save a file or artifact."""
    with connected() as client:
        console.print(str(client.files.download(file_id, into)))


def main() -> None:
    """Run the command; a refused call is told in a sentence and ends with 1."""
    try:
        app()
    except (IsobathError, ValueError) as error:
        Console(stderr=True).print(f"isobath: {error}", style="bold red", markup=False)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
