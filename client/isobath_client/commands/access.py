"""`isobath keys`, `isobath whoami` and `isobath usage`."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from isobath.analyst.v1 import access_pb2 as messages
from isobath_client.commands import completion
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    examples,
    json_line,
    moment,
    print_table,
    say,
    show,
    table_of,
)

keys = typer.Typer(no_args_is_help=True, help="API keys: make, list, revoke.")


class Scope(StrEnum):
    READ_ONLY = "read-only"
    ANALYST = "analyst"
    ADMIN = "admin"


KeyId = Annotated[str, typer.Argument(help="The key's id.", autocompletion=completion.key_ids)]
QUOTAS = tuple(field.name for field in messages.Quota.DESCRIPTOR.fields)


@keys.command(
    "create",
    epilog=examples(
        "isobath keys create --owner ann --scope read-only --days 30 --quota rows_per_day=1000000"
    ),
)
def create_key(
    owner: Annotated[
        str, typer.Option(help="Whose sources, threads and files it opens; yours if left out.")
    ] = "",
    name: Annotated[str, typer.Option(help="For people, such as 'nightly report'.")] = "",
    scope: Annotated[Scope, typer.Option(help="What it may do.")] = Scope.ANALYST,
    team: Annotated[
        list[str] | None, typer.Option(help="A team; may be given several times.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Until it expires.")] = None,
    quota: Annotated[
        list[str] | None, typer.Option(help=f"NAME=NUMBER, of {', '.join(QUOTAS)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key, and show it this once."""
    with connected() as client:
        made = client.access.create_key(
            owner,
            name=name,
            scope=scope.value,
            teams=team or (),
            quota=dict(_quota(each) for each in quota or ()),
            lifetime=None if days is None else timedelta(days=days),
        )
    if as_json:
        json_line(made)
    else:
        typer.echo(made.secret)


@keys.command("list", epilog=examples("isobath keys list --ended"))
def list_keys(
    ended: Annotated[bool, typer.Option("--ended", help="Revoked and expired ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keys, newest first: all for an admin, those of your owner for others."""

    def row(key: messages.ApiKey) -> tuple[str, ...]:
        used = moment(key.last_used_at)
        return (
            key.id,
            key.owner,
            _scope(key.scope),
            key.name,
            used if key.HasField("last_used_at") else "never",
            _state(key),
        )

    with connected() as client:
        table = table_of("API keys", "id", "owner", "scope", "name", "last used", "state")
        show(table, client.access.keys(ended=ended), row, as_json=as_json)


@keys.command("update", epilog=examples("isobath keys update key-… --quota rows_per_day=5000000"))
def update_key(
    key_id: KeyId,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    team: Annotated[
        list[str] | None, typer.Option(help="Its teams from now on; may be given several times.")
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME=NUMBER, of {', '.join(QUOTAS)}; those left out are lifted."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a key, from the next request on. Needs the scope admin."""
    with connected() as client:
        key = client.access.update_key(
            key_id,
            name=name,
            teams=team,
            quota=None if quota is None else dict(_quota(each) for each in quota),
        )
    if as_json:
        json_line(key)
    else:
        say(f"{key.id} is changed.")


@keys.command("revoke", epilog=examples("isobath keys revoke key-…"))
def revoke_key(
    key_id: KeyId,
    as_json: AsJson = False,
) -> None:
    """End a key, from the next request on."""
    with connected() as client:
        key = client.access.revoke_key(key_id)
    if as_json:
        json_line(key)
    else:
        say(f"{key.id} is revoked.")


def whoami(as_json: AsJson = False) -> None:
    """Who you are to the platform, and what you may use."""
    with connected() as client:
        caller = client.access.caller()
    if as_json:
        json_line(caller)
        return
    teams = f", in {', '.join(caller.teams)}" if caller.teams else ""
    say(f"{caller.owner} by {caller.key_id}: {_scope(caller.scope)}{teams}")
    used = {
        "requests_per_minute": None,
        "runs_at_once": None,
        "tokens_per_day": caller.today.prompt_tokens + caller.today.completion_tokens,
        "rows_per_day": caller.today.rows,
        "bytes_per_day": caller.today.bytes,
    }
    table = table_of("Quota", "quota", "limit", "used today")
    for name in QUOTAS:
        limit, so_far = getattr(caller.quota, name), used[name]
        told = "" if so_far is None else f"{so_far:,}"
        table.add_row(name.replace("_", " "), f"{limit:,}" if limit else "none", told)
    print_table(table)


def usage(
    since: Annotated[str, typer.Option("--from", help="Such as 2026-11-01.")] = "",
    until: Annotated[str, typer.Option("--to", help="With this day; today if left out.")] = "",
    everybody: Annotated[bool, typer.Option("--everybody", help="For an admin.")] = False,
    as_json: AsJson = False,
) -> None:
    """What was used, by day and key: 30 days, unless told otherwise."""
    with connected() as client:
        found = client.access.usage(since, until, everybody=everybody)
    total = messages.UsageLine(day="total", usage=found.total)

    def row(line: messages.UsageLine) -> tuple[str, ...]:
        used = line.usage
        numbers = (
            used.requests,
            used.runs,
            used.prompt_tokens + used.completion_tokens,
            used.rows,
            used.bytes,
            used.run_time.seconds,
        )
        return (line.day, line.owner, line.key_id, *(f"{each:,}" for each in numbers))

    table = table_of(
        "Usage", "day", "owner", "key", "requests", "runs", "tokens", "rows", "bytes", "seconds"
    )
    show(table, [*found.lines, total], row, as_json=as_json)


def _quota(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in QUOTAS or not number.isdecimal():
        raise typer.BadParameter(f"--quota takes NAME=NUMBER, of {', '.join(QUOTAS)}")
    return name, int(number)


def _scope(scope: messages.Scope) -> str:
    return messages.Scope.Name(scope).removeprefix("SCOPE_").lower().replace("_", "-")


def _state(key: messages.ApiKey) -> str:
    if key.HasField("revoked_at"):
        return "revoked"
    if key.HasField("expires_at"):
        return f"until {moment(key.expires_at)}"
    return "valid"
