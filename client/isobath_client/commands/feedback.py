"""`isobath feedback`: what one thinks of a run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands.approvals import RunId
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    examples,
    json_line,
    moment,
    say,
    show,
    table_of,
)

EXAMPLES = examples(
    "isobath feedback run-… --up",
    "isobath feedback run-… --down --comment 'counts refunds twice' --correction right.md",
    "isobath feedback run-…",
)


def feedback(
    run: RunId,
    up: Annotated[
        bool | None, typer.Option("--up/--down", help="Whether the answer was right.")
    ] = None,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    correction: Annotated[
        Path | None,
        typer.Option(
            help="A file with what the answer should have been, in Markdown.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take back what you said.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what you think of a run that has ended, instead of what you said before; with no word,
    show what there is. Training learns from it."""
    if remove:
        _remove(run, as_json=as_json)
    elif up is None and not comment and correction is None:
        _show(run, as_json=as_json)
    else:
        right = correction.read_text() if correction is not None else ""
        _rate(run, _rating(up), comment, right, as_json=as_json)


def _rating(up: bool | None) -> Literal["", "up", "down"]:
    if up is None:
        return ""
    return "up" if up else "down"


def _rate(
    run: str, rating: Literal["", "up", "down"], comment: str, correction: str, *, as_json: bool
) -> None:
    with connected() as client:
        given = client.runs.rate(run, rating, comment=comment, correction=correction)
    if as_json:
        json_line(given)
    else:
        say(f"{run}: {given.feedback.rating or 'corrected'}")


def _remove(run: str, *, as_json: bool) -> None:
    with connected() as client:
        client.runs.unrate(run)
    if as_json:
        json_line({"run_id": run, "deleted": True})
    else:
        say(f"{run}: taken back")


def _show(run: str, *, as_json: bool) -> None:
    def row(each: messages.RunFeedback) -> tuple[str, ...]:
        said = each.feedback
        right = said.correction.strip().partition("\n")[0]
        return each.given_by, moment(said.created_at), said.rating, said.comment, right

    with connected() as client:
        table = table_of("Feedback", "by", "at", "rating", "comment", "correction")
        show(table, client.runs.feedback(run), row, as_json=as_json)
