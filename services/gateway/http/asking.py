"""What every route asks of a request: who calls, and its JSON."""

from typing import Any

import orjson
from fastapi import Request

from servicekit.status import InvalidField
from services.gateway.callers import Caller
from services.gateway.gateway import Gateway

MAX_BODY_BYTES = 16 * 1024 * 1024


async def authenticated(gateway: Gateway, request: Request) -> Caller:
    """The caller. Raises `Unauthenticated`."""
    return await gateway.callers.authenticate(request.headers.get("authorization", ""))


async def body_of(request: Request) -> dict[str, Any]:
    """The body, a JSON object. Raises `InvalidField`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise InvalidField("body", f"the body is larger than {MAX_BODY_BYTES:,} bytes")
    try:
        body = orjson.loads(bytes(raw))
    except orjson.JSONDecodeError as torn:
        raise InvalidField("body", f"the body is not JSON: {torn}") from torn
    if not isinstance(body, dict):
        raise InvalidField("body", "the body must be a JSON object")
    return body


def flag(body: dict[str, Any], name: str) -> bool:
    """A truth value of the body, false where it is missing. Raises `InvalidField`."""
    found = body.get(name)
    if not isinstance(found, bool | None):
        raise InvalidField(name, f"{name} must be true or false")
    return bool(found)


def number(request: Request, name: str, default: int = 0) -> int:
    """A whole number of the query string. Raises `InvalidField`."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise InvalidField(name, f"{name} must be a whole number")
    return int(text)


def word(request: Request, name: str, default: str = "") -> str:
    """A string of the query string."""
    return request.query_params.get(name, default)


def required(request: Request, name: str) -> str:
    """A string of the query string that must be there. Raises `InvalidField`."""
    found = word(request, name)
    if not found:
        raise InvalidField(name, f"{name} is missing", remedy=f"Add ?{name}=… to the address.")
    return found
