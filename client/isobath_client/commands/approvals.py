"""What waits for a person: asked for in the middle of a run, or decided from elsewhere."""

from enum import StrEnum
from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands import completion
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    examples,
    json_line,
    say,
    show,
    table_of,
)
from isobath_client.events import ApprovalRequested
from isobath_client.sync.client import Isobath

RunId = Annotated[str, typer.Argument(help="The run's id.", autocompletion=completion.run_ids)]
ApprovalId = Annotated[
    str, typer.Argument(help="Of `isobath runs approvals`; where the run waits for several.")
]
Rest = Annotated[
    bool,
    typer.Option("--rest", help="Also all that the run will ask of this kind and source."),
]
LIST = examples("isobath runs approvals run-…")
APPROVE = examples("isobath runs approve run-…", "isobath runs approve run-… apr-… --rest")
REFUSE = examples("isobath runs refuse run-… --comment 'by month only'")


class Guarded(StrEnum):
    """What can need an approval."""

    QUERY = "query"
    WRITE = "write"


class Deciding:
    """Asks who sits at the terminal; what was said for the rest of the run is not asked again."""

    def __init__(self, client: Isobath) -> None:
        self._client = client
        self._rest: set[tuple[str, str]] = set()

    def __call__(self, wish: ApprovalRequested) -> None:
        kind = wish.source_id, wish.operation
        if kind in self._rest:
            return
        said = ""
        while said[:1] not in ("y", "n", "a"):
            said = typer.prompt("Approve? y = yes, n = no, a = all of this run").strip().lower()
        approved = said[0] != "n"
        comment = "" if approved else typer.prompt("Why not? The model reads it", default="")
        if said[0] == "a":
            self._rest.add(kind)
        self._client.runs.decide(
            wish.run_id,
            approved,
            approval_id=wish.approval_id,
            comment=comment,
            rest_of_run=said[0] == "a",
        )


def list_approvals(run: RunId, as_json: AsJson = False) -> None:
    """What a run needed or needs an approval for."""

    def row(each: messages.Approval) -> tuple[str, ...]:
        asked, decided = each.requested, each.decided
        by = f"{decided.how} {decided.decided_by}".strip()
        return asked.approval_id, _status(each), asked.source, _what(asked), by, decided.comment

    with connected() as client:
        table = table_of("Approvals", "id", "status", "source", "what", "by", "comment")
        show(table, client.runs.approvals(run), row, as_json=as_json)


def approve(
    run: RunId,
    approval: ApprovalId = "",
    comment: Annotated[str, typer.Option(help="Kept with the decision.")] = "",
    rest: Rest = False,
    as_json: AsJson = False,
) -> None:
    """Let a run do what it waits for."""
    _decide(run, approval, True, comment, rest, as_json=as_json)


def refuse(
    run: RunId,
    approval: ApprovalId = "",
    comment: Annotated[str, typer.Option(help="The model reads it.")] = "",
    rest: Rest = False,
    as_json: AsJson = False,
) -> None:
    """Do not let a run do what it waits for; it goes on without."""
    _decide(run, approval, False, comment, rest, as_json=as_json)


def _decide(
    run: str, approval: str, approved: bool, comment: str, rest: bool, *, as_json: bool
) -> None:
    with connected() as client:
        told = client.runs.decide(
            run, approved, approval_id=approval, comment=comment, rest_of_run=rest
        )
    if as_json:
        json_line(told)
    else:
        say(f"{_status(told)}: {_what(told.requested)}")


def _status(approval: messages.Approval) -> str:
    if not approval.HasField("decided"):
        return "pending"
    return "approved" if approval.decided.approved else "refused"


def _what(asked: messages.ApprovalRequested) -> str:
    return asked.query.sql if asked.HasField("query") else asked.path
