"""The HTTP application: routes, the OpenAPI document, and errors."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from servicekit import context
from servicekit.status import Fault
from services.gateway.gateway import Gateway
from services.gateway.http import (
    access,
    approvals,
    chat,
    edge,
    files,
    responses,
    runs,
    sources,
)
from services.gateway.openai import envelope

REASONS = {404: "NOT_FOUND", 405: "UNSUPPORTED", 401: "UNAUTHENTICATED"}


def application(gateway: Gateway) -> ASGIApp:
    """All routes over one gateway."""
    app = FastAPI(
        title="Isobath",
        version="0.1.0",
        summary="Ask questions of the data you already have.",
        docs_url="/docs",
        redoc_url=None,
    )
    for router in (
        chat.routes(gateway),
        responses.routes(gateway),
        sources.routes(gateway),
        files.routes(gateway),
        access.routes(gateway),
        runs.routes(gateway),
        approvals.routes(gateway),
        runs.pages(gateway),
    ):
        app.include_router(router)
    app.add_exception_handler(Fault, edge.handle)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _http)
    return edge.Edge(app)


async def _http(_: Request, error: Exception) -> Response:
    """An unknown route or a wrong method, as an envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    detail = error.detail if isinstance(error, HTTPException) else "the request cannot be read"
    reason = REASONS.get(status, "INVALID_FIELD")
    body = envelope(status, reason, str(detail), request_id=context.request_id())
    return edge.Json(body, status)
