"""`isobath sources`."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.json import JSON
from rich.table import Table

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.commands import adding, querying
from isobath_client.commands.adding import SourceName
from isobath_client.commands.approvals import Guarded
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    console,
    examples,
    json_line,
    plain,
    print_json,
    print_table,
    say,
    show,
    table_of,
)
from isobath_client.commands.verdicts import tell

sources = typer.Typer(no_args_is_help=True, help="Data sources: add, try, look inside, query.")
Refresh = Annotated[bool, typer.Option("--refresh", help="Ask the source, not the cache.")]
RelationPath = Annotated[str, typer.Argument(help="A relation, a blob, or a glob as one table.")]
sources.command(
    "add",
    epilog=examples(
        "isobath sources add",
        "isobath sources add sales.json",
        "isobath sources add --type postgresql --name sales --set host=db --set database=shop "
        "--set user=analyst --secret-env password=PGPASSWORD",
    ),
)(adding.add)
sources.command(
    "update", epilog=examples("isobath sources update sales --description 'Orders since 2020'")
)(adding.update)
sources.command("edit", epilog=examples("isobath sources edit sales"))(adding.edit)
sources.command(
    "query", epilog=examples("isobath sources query sales:public.orders -o orders.csv")
)(querying.query)
sources.command("preview", epilog=examples("isobath sources preview sales public.orders"))(
    querying.preview
)


class Include(StrEnum):
    """What may be shown beside what is there now."""

    SNAPSHOTS = "snapshots"
    VERSIONS = "versions"
    DELETED = "deleted"
    TAGS = "tags"


@sources.command("list", epilog=examples("isobath sources list --json"))
def list_sources(as_json: AsJson = False) -> None:
    """Your data sources, and those shared with your teams."""

    def row(source: messages.DataSource) -> tuple[str, ...]:
        return source.name, source.type, source.id, ", ".join(source.teams), source.description

    with connected() as client:
        table = table_of("Data sources", "name", "type", "id", "teams", "description")
        show(table, client.sources.list(), row, as_json=as_json)


@sources.command("show", epilog=examples("isobath sources show sales"))
def show_source(source: SourceName, as_json: AsJson = False) -> None:
    """What is known of a source; of its secrets which are set."""
    with connected() as client:
        found = client.sources.get(source)
    if as_json:
        json_line(found)
        return
    say(f"{found.name} ({found.type}) {found.id}, version {found.version}")
    if found.description:
        say(found.description)
    console.print(JSON(found.config_json))
    say(f"secrets set: {', '.join(found.secrets_set) or 'none'}")
    say(f"shared with: {', '.join(found.teams) or 'nobody'}")
    say(f"waits for approval: {_guards(found)}")


def _guards(source: messages.DataSource) -> str:
    words = (messages.GuardedOperation.Name(each) for each in source.approval)
    told = (word.removeprefix("GUARDED_OPERATION_").lower() for word in words)
    return ", ".join(told) or "nothing"


@sources.command("types", epilog=examples("isobath sources types"))
def types(as_json: AsJson = False) -> None:
    """What can be a data source, and which settings each type takes."""
    with connected() as client:
        for kind in client.sources.types():
            if as_json:
                json_line(kind)
                continue
            console.rule(f"{kind.title} ({kind.type})")
            for template in kind.templates:
                say(template.description)
                print_json(template.example)


@sources.command("guard", epilog=examples("isobath sources guard sales query write"))
def guard_source(
    source: SourceName,
    operations: Annotated[
        list[Guarded] | None, typer.Argument(help="Nothing needs one where none is named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let each statement, or each file written, of the model's code wait for an approval."""
    with connected() as client:
        found = client.sources.guard(source, [each.value for each in operations or ()])
    if as_json:
        json_line(found)
    else:
        say(f"{found.name} waits for approval of: {_guards(found)}")


@sources.command("share", epilog=examples("isobath sources share sales --team finance"))
def share_source(
    source: SourceName,
    team: Annotated[
        list[str] | None, typer.Option(help="Its members see and ask it; * = everybody.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Share a source with these teams and no others; with nobody where none is named."""
    with connected() as client:
        shared = client.sources.share(source, team or ())
    if as_json:
        json_line(shared)
    else:
        say(f"{shared.name} is shared with {', '.join(shared.teams) or 'nobody'}.")


@sources.command("guide", epilog=examples("isobath sources guide sales guide.json"))
def guide_source(
    source: SourceName,
    body: Annotated[
        Path | None, typer.Argument(help="JSON file of notes and queries; - reads stdin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the model is told of a source beyond its schema, or replace it from a file."""
    with connected() as client:
        if body is None:
            found = client.sources.get(source)
        else:
            text = sys.stdin.read() if str(body) == "-" else body.read_text()
            found = client.sources.guide(source, json.loads(text))
    if as_json:
        json_line(found.guide)
    else:
        print_json(found.guide)


@sources.command("remove", epilog=examples("isobath sources remove sales"))
def remove_source(source: SourceName, as_json: AsJson = False) -> None:
    """Delete a source, its secret and its live connections."""
    with connected() as client:
        client.sources.remove(source)
    if as_json:
        json_line({"source": source, "removed": True})
    else:
        say(f"{source} is gone.")


@sources.command("check", epilog=examples("isobath sources check sales"))
@sources.command("test", hidden=True, epilog=examples("isobath sources check sales"))
def check_source(source: SourceName, as_json: AsJson = False) -> None:
    """Try a source: reach, sign in, read."""
    with connected() as client:
        result = client.sources.check(source)
    if as_json:
        json_line(result)
    else:
        tell(result)
    if not result.ok:
        raise typer.Exit(1)


@sources.command(
    "browse",
    epilog=examples("isobath sources browse sales public", "isobath sources browse lake 2026/"),
)
def browse(
    source: SourceName,
    path: Annotated[str, typer.Argument(help="A schema, or a prefix.")] = "",
    glob: Annotated[str, typer.Option(help="A pattern over whole names.")] = "",
    include: Annotated[
        list[Include] | None,
        typer.Option(help="Beside what is there now; all but tags with --glob."),
    ] = None,
    refresh: Refresh = False,
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
        found = client.sources.browse(
            source, path, glob=glob, include=include or (), refresh=refresh
        )
        show(table, found, row, as_json=as_json)


@sources.command("schema", epilog=examples("isobath sources schema sales public.orders"))
def schema(
    source: SourceName, path: RelationPath, refresh: Refresh = False, as_json: AsJson = False
) -> None:
    """Columns and keys of a relation, a blob, or a glob as one table."""
    with connected() as client:
        found = client.sources.schema(source, path, refresh=refresh)
    if as_json:
        json_line(found)
        return
    table = table_of(path, "column", "type", "nullable", "comment")
    for column in found.columns:
        table.add_row(column.name, column.type, "yes" if column.nullable else "no", column.comment)
    print_table(table)
    for constraint in found.constraints:
        say(f"{constraint.name}: {constraint.definition}", "dim")


@sources.command("statistics", epilog=examples("isobath sources statistics sales public.orders"))
def statistics(
    source: SourceName, path: RelationPath, refresh: Refresh = False, as_json: AsJson = False
) -> None:
    """Statistics of each column, from the server or a sample."""
    with connected() as client:
        found = client.sources.statistics(source, path, refresh=refresh)
    if as_json:
        json_line(found)
        return
    print_table(_profile(path, found))
    rows = f"{found.rows:,} rows, " if found.HasField("rows") else ""
    say(f"{rows}{found.basis}", "dim")


def _profile(path: str, found: connector.ProfileResponse) -> Table:
    names = ("column", "type", "nulls", "distinct", "least", "greatest", "mean", "most frequent")
    table = table_of(path, *names)
    for each in found.columns:
        known = plain(each)
        top = ", ".join(f"{value.value} ({value.fraction:.0%})" for value in each.top_values[:3])
        table.add_row(
            each.name,
            each.type,
            f"{each.null_fraction:.1%}" if "null_fraction" in known else "",
            f"{each.distinct:,}" if "distinct" in known else "",
            each.minimum,
            each.maximum,
            f"{each.mean:,.6g}" if "mean" in known else "",
            top,
        )
    return table


def _entry_kind(entry: connector.Entry) -> str:
    return connector.EntryKind.Name(entry.kind).removeprefix("ENTRY_KIND_").lower()
