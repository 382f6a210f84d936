"""What every route asks of a request: who calls, and its JSON."""

from typing import Any

import orjson
from fastapi import Request

from servicekit.status import InvalidField
from services.gateway.access.scopes import Scope
from services.gateway.callers import Caller
from services.gateway.errors import TooLarge
from services.gateway.gateway import Gateway

MAX_BODY_BYTES = 16 * 1024 * 1024


async def authenticated(gateway: Gateway, request: Request, needs: Scope | None = None) -> Caller:
    """The caller, let in. What is not said: reading takes read-only, all else analyst. Raises
    `Unauthenticated`, `NotAllowed`, `QuotaExceeded`."""
    if needs is None:
        needs = Scope.READ_ONLY if request.method in ("GET", "HEAD") else Scope.ANALYST
    return await gateway.admit(request.headers.get("authorization", ""), needs)


async def body_of(request: Request) -> dict[str, Any]:
    """The body, a JSON object. Raises `InvalidField`, `TooLarge`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise TooLarge("the body", MAX_BODY_BYTES)
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


def held(body: dict[str, Any]) -> bool:
    """Whether a stream waits for the end of the fetch, so that its fault is a status. Raises
    `InvalidField`."""
    return body.get("hold") is None or flag(body, "hold")


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


def string(body: dict[str, Any], name: str, *, required: bool = False) -> str:
    """A string of the body. Raises `InvalidField`."""
    found = body.get(name, "")
    if not isinstance(found, str) or (required and not found):
        raise InvalidField(name, f"{name} must be a string" + (", not empty" if required else ""))
    return found


def mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object of the body, empty where it is missing. Raises `InvalidField`."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidField(name, f"{name} must be an object")
    return found


def words(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings of the body, each once. Raises `InvalidField`."""
    found = body.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InvalidField(name, f"{name} must be a list of strings")
    return tuple(dict.fromkeys(found))
