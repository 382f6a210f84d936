"""/v1/runs/{id}/feedback: what callers think of a run."""

from typing import Any

from fastapi import APIRouter, Request

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.feedback import Opinion
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated, body_of, string
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["runs"])

    @router.get("/v1/runs/{id}/feedback")
    async def listed(request: Request, id: str) -> Json:
        """What there is of a run that has ended, of each caller that gave any, oldest first."""
        caller = await authenticated(gateway, request)
        found = await gateway.feedback.of(caller.owner, id)
        return Json(listing([feedback_json(each) for each in found]))

    @router.post("/v1/runs/{id}/feedback")
    async def put(request: Request, id: str) -> Json:
        """Say whether a run's answer was right, or what it should have been: a rating, a
        correction, or both. It takes the place of what the same caller said before."""
        caller = await authenticated(gateway, request)
        body = await body_of(request)
        names = ("rating", "comment", "correction")
        opinion = Opinion(**{name: string(body, name) for name in names})
        return Json(feedback_json(await gateway.feedback.put(caller, id, opinion)))

    @router.delete("/v1/runs/{id}/feedback")
    async def delete(request: Request, id: str) -> Json:
        """Take back what this caller said of a run."""
        caller = await authenticated(gateway, request)
        await gateway.feedback.delete(caller, id)
        return Json({"id": id, "object": "feedback", "deleted": True})

    return router


def feedback_json(given: analyst.RunFeedback) -> dict[str, Any]:
    """As HTTP shows it."""
    said = given.feedback
    return {
        "object": "feedback",
        "given_by": given.given_by,
        "rating": said.rating or None,
        "comment": said.comment,
        "correction": said.correction,
        "created_at": said.created_at.seconds,
    }
