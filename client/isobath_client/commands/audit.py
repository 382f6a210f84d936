"""`isobath audit`."""

from pathlib import Path
from typing import Annotated

import typer

from isobath_client.commands.printing import AsJson, complain, examples, json_line, say
from servicekit.chain import ChainBroken, Head, followed, parse_head

audit = typer.Typer(no_args_is_help=True, help="The trail of secrets and grants.")


@audit.command("verify", epilog=examples("isobath audit verify trail.jsonl --head 12:9f86d0…"))
def verify(
    file: Annotated[
        Path, typer.Argument(help="What `python -m services.credentials audit export` gave.")
    ],
    head: Annotated[
        str, typer.Option(help="NUMBER:DIGEST of a record, from the log: it must be in the file.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Find what was changed in an exported trail, removed from it, or cut off."""
    try:
        end = _followed(file, head)
    except (ChainBroken, ValueError) as broken:
        if as_json:
            json_line({"whole": False, "broken": str(broken)})
        else:
            complain(f"broken at {broken}", "red")
        raise typer.Exit(1) from broken
    if as_json:
        json_line({"whole": True, "records": end.number, "head": str(end)})
    else:
        say(f"whole: {end.number} records, head {end}")


def _followed(file: Path, head: str) -> Head:
    """The last record. Raises ChainBroken, and ValueError where `head` is not in it."""
    wanted = parse_head(head) if head else None
    with file.open() as lines:
        end, seen = Head(), wanted is None
        for line in lines:
            end = followed([line], end)
            seen = seen or end == wanted
    if not seen:
        raise ValueError(f"the end: record {head} is not in it")
    return end
