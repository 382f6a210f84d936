"""/v1/admin: what this gateway's process is doing, for who runs it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from servicekit.status import InvalidField
from services.gateway.access.scopes import Scope
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated, body_of, number, string, word
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["platform"])

    @router.get("/v1/admin/profile")
    async def profile(request: Request) -> Response:
        """Where the time of this gateway's event loop goes, for some seconds from now on.

        One profile at a time, of the process that answers: of several replicas it is any. Where
        `ISOBATH_GATEWAY_PROFILING` does not allow it, it is refused; each one is in the audit. It
        holds names of functions, and no values."""
        caller = await authenticated(gateway, request, Scope.ADMIN)
        made = await gateway.diagnosis.profile(
            caller, _seconds(request), word(request, "format") or "speedscope"
        )
        headers = {"content-disposition": f'attachment; filename="{made.name}"'}
        return Response(made.content, media_type=made.media_type, headers=headers)

    @router.get("/v1/admin/tasks")
    async def tasks(request: Request) -> Json:
        """What each asyncio task of this gateway waits at, the outermost call first."""
        caller = await authenticated(gateway, request, Scope.ADMIN)
        return Json(listing(await gateway.diagnosis.tasks(caller)))

    @router.get("/v1/admin/memory")
    async def memory(request: Request) -> Json:
        """How much memory this gateway took at most, and where it was allocated.

        The latter only where allocations are traced, which `PYTHONTRACEMALLOC=1` in its environment
        has done; that makes it slower and larger."""
        caller = await authenticated(gateway, request, Scope.ADMIN)
        return Json(await gateway.diagnosis.memory(caller, number(request, "lines", 25)))

    @router.post("/v1/admin/log-level")
    async def log_level(request: Request) -> Json:
        """From which level on this gateway logs, until it is started again."""
        caller = await authenticated(gateway, request, Scope.ADMIN)
        level = string(await body_of(request), "level", required=True)
        return Json({"level": await gateway.diagnosis.log_level(caller, level)})

    return router


def _seconds(request: Request) -> float:
    try:
        return float(word(request, "seconds") or 5.0)
    except ValueError as wrong:
        raise InvalidField("seconds", "seconds must be a number") from wrong
