"""The HTTP application: routes, the OpenAPI document, and errors."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from servicekit import context
from servicekit.status import Fault
from servicekit.version import VERSION
from services.gateway.gateway import Gateway
from services.gateway.http import (
    access,
    admin,
    approvals,
    chat,
    edge,
    feedback,
    files,
    platform,
    responses,
    runs,
    sources,
)
from services.gateway.http.reference.document import document
from services.gateway.openai import envelope

REASONS = {404: "NOT_FOUND", 405: "UNSUPPORTED"}
NO_ROUTE = (
    "Questions go to POST /v1/chat/completions or POST /v1/responses; GET /openapi.json lists all."
)
# what a script of another origin may read
EXPOSED = ("x-request-id", "retry-after", "x-should-retry", "location", "content-disposition")


def application(gateway: Gateway) -> ASGIApp:
    """All routes over one gateway."""
    routers = families(gateway)
    app = FastAPI(title="Isobath", version=VERSION, docs_url="/docs", redoc_url=None)
    for router in routers:
        app.include_router(router)
    # made at the first request for it, of the table beside the routes
    app.openapi = cache(lambda: openapi(routers))  # type: ignore[method-assign]
    app.add_exception_handler(Fault, edge.handle)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _http)
    whole: ASGIApp = edge.Edge(app)
    if gateway.settings.cors_origins:
        whole = CORSMiddleware(
            whole,
            allow_origins=gateway.settings.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
        )
    return whole


def families(gateway: Gateway) -> Sequence[APIRouter]:
    """The routes, by families."""
    return (
        chat.routes(gateway),
        responses.routes(gateway),
        sources.routes(gateway),
        files.routes(gateway),
        access.routes(gateway),
        runs.routes(gateway),
        approvals.routes(gateway),
        feedback.routes(gateway),
        platform.routes(gateway),
        admin.routes(gateway),
    )


def openapi(routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The OpenAPI document of these routes. Raises `Undescribed` for one that the table lacks."""
    routes = (route for router in routers for route in router.routes)
    return document([route for route in routes if isinstance(route, APIRoute)], VERSION)


async def _http(request: Request, error: Exception) -> Response:
    """An unknown route, a wrong method, or a form that cannot be read, as an envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    detail = (
        str(error.detail) if isinstance(error, HTTPException) else "the request is not readable"
    )
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    asked, remedy = f"{request.method} {request.url.path}", ""
    details: dict[str, str] = {}
    if status == 404:
        detail, remedy, details = f"there is no {asked}", NO_ROUTE, {"kind": "route", "id": asked}
    elif status == 405:
        detail, remedy = f"{asked} is not to be had", f"Use {headers.get('Allow', 'another')}."
    body = envelope(
        status,
        REASONS.get(status, "INVALID_FIELD"),
        detail,
        remedy=remedy,
        details=details,
        request_id=context.request_id(),
    )
    return edge.Json(body, status, headers=headers)
