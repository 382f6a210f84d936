"""/v1/runs/{id}/approvals: what a run waits for, and a person's word on it."""

from typing import Any

from fastapi import APIRouter, Request

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway.approvals import Decision
from services.gateway.gateway import Gateway
from services.gateway.guards import words_of
from services.gateway.http.asking import authenticated, body_of, flag, string
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing
from services.gateway.render import values


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["runs"])

    @router.get("/v1/runs/{id}/approvals")
    async def listed(request: Request, id: str) -> Json:
        """What a run needed or needs a person's approval for, oldest first."""
        caller = await authenticated(gateway, request)
        found = await gateway.runs.approvals(caller.owner, id)
        return Json(listing([approval_json(each) for each in found]))

    @router.post("/v1/runs/{id}/approvals")
    async def decide(request: Request, id: str) -> Json:
        """Approve or refuse what a run waits for; it then goes on. Without `approval_id` it is the
        only thing that the run waits for. The same decision again changes nothing."""
        caller = await authenticated(gateway, request)
        body = await body_of(request)
        if "approved" not in body:
            raise InvalidField("approved", "approved must be true or false")
        decision = Decision(
            flag(body, "approved"), string(body, "comment"), flag(body, "rest_of_run")
        )
        decided = await gateway.runs.decide(caller, id, string(body, "approval_id"), decision)
        return Json(approval_json(decided))

    return router


def approval_json(approval: analyst.Approval) -> dict[str, Any]:
    """An approval as HTTP shows it."""
    requested, decided = approval.requested, approval.decided
    told: dict[str, Any] = {
        "id": requested.approval_id,
        "object": "approval",
        "status": _status(approval),
        "round": requested.round or None,
        "source": requested.source,
        "source_id": requested.source_id,
        "operation": words_of(frozenset({requested.operation}))[0],
        "requested_at": approval.requested_at.seconds,
        "expires_at": requested.expires_at.seconds,
    }
    if requested.HasField("query"):
        told |= {"sql": requested.query.sql, "params": values(requested.query)}
    else:
        told |= {"path": requested.path, "overwrite": requested.overwrite}
    if approval.HasField("decided"):
        told |= {
            "comment": decided.comment,
            "decided_by": decided.decided_by or None,
            "how": decided.how,
            "decided_at": approval.decided_at.seconds,
        }
    return told


def _status(approval: analyst.Approval) -> str:
    if not approval.HasField("decided"):
        return "pending"
    return "approved" if approval.decided.approved else "refused"
