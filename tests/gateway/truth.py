"""Holds exchanges over HTTP against the gateway's own OpenAPI document.

What the tests of the gateway send and get passes here, so that a field, a parameter or a status that
the document lacks fails the test that meets it.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from services.gateway.http.app import families, openapi

WHERE = "say it in services/gateway/http/reference (operations.py, bodies.py, schemas.py)"


@cache
def document() -> dict[str, Any]:
    """The document that the gateway serves."""
    return openapi(families(None))  # type: ignore[arg-type]


def closed(schema: Any) -> Any:
    """The schema where no object takes a field that it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@cache
def _components(*, exact: bool) -> dict[str, Any]:
    schemas = document()["components"]["schemas"]
    return {"schemas": closed(schemas) if exact else schemas}


def problem(schema: dict[str, Any], value: Any, *, exact: bool) -> str:
    """Why the value is not what the schema says; `exact` = nor may it have more fields."""
    whole = {**(closed(schema) if exact else schema), "components": _components(exact=exact)}
    errors = list(Draft202012Validator(whole).iter_errors(value))
    return "; ".join(f"{error.json_path}: {error.message[:500]}" for error in errors)


def stream_problem(text: str, operation_id: str) -> str:
    """Why a stream's `data:` lines are not what the document says of them."""
    told = next(each for _, _, each in operations() if each["operationId"] == operation_id)
    event = told["responses"]["200"]["content"]["text/event-stream"]["x-event"]
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
    return "; ".join(filter(None, (problem(event, json.loads(line), exact=True) for line in lines)))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and entry of each."""
    for path, methods in document()["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


def answer_schema(told: dict[str, Any], status: int, media_type: str) -> dict[str, Any]:
    """What the document says of an answer, nothing where it does not have it."""
    answer = told["responses"].get(str(status), {})
    if "$ref" in answer:
        answer = document()["components"]["responses"][str(status)]
    content = answer.get("content", {})
    found: dict[str, Any] = content.get(media_type) or content.get("*/*") or {}
    return found


class Truth:
    """`seen` are the operations that were called, with their statuses and media types."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, str]] = set()

    async def hold(self, response: httpx.Response) -> None:
        """A hook of `httpx`. Raises `AssertionError` for what the document does not say."""
        told = _operation(response.request)
        if told is None:
            return
        media_type = response.headers.get("content-type", "").split(";")[0]
        if media_type == "application/json":
            await response.aread()
        self.check(told, response, media_type)
        self.seen.add((told["operationId"], response.status_code, media_type))

    def check(self, told: dict[str, Any], response: httpx.Response, media_type: str) -> None:
        """One exchange. Raises `AssertionError`."""
        request, status = response.request, str(response.status_code)
        called = f"{request.method} {request.url.path} gave {status}"
        content = answer_schema(told, response.status_code, media_type)
        assert content, f"{called} as {media_type}, which the document does not have: {WHERE}"
        if media_type == "application/json":
            said = problem(content["schema"], response.json(), exact=True)
            assert not said, f"{called} with what the document does not say: {said}: {WHERE}"
        if response.is_success:
            self._asked(told, request, called)

    def _asked(self, told: dict[str, Any], request: httpx.Request, called: str) -> None:
        known = {each["name"]: each for each in told.get("parameters", ()) if each["in"] == "query"}
        for name, value in request.url.params.multi_items():
            assert name in known, f"{called}: the parameter {name} is not described: {WHERE}"
            said = problem(known[name]["schema"], _read(known[name]["schema"], value), exact=True)
            assert not said, f"{called}: {name}: {said}: {WHERE}"
        missing = {name for name, each in known.items() if each["required"]}
        assert not missing - {*request.url.params}, f"{called} without {missing}: {WHERE}"
        if "application/json" in told.get("requestBody", {}).get("content", ()):
            content = told["requestBody"]["content"]["application/json"]
            # OpenAI's bodies have more than is said here
            said = problem(content["schema"], json.loads(request.content), exact=False)
            assert not said, f"{called} to what the document does not take: {said}: {WHERE}"


def _read(schema: dict[str, Any], text: str) -> Any:
    if schema["type"] == "integer":
        return int(text) if text.lstrip("-").isdecimal() else text
    if schema["type"] == "number":
        return float(text)
    return {"true": True, "false": False}.get(text, text) if schema["type"] == "boolean" else text


def _operation(request: httpx.Request) -> dict[str, Any] | None:
    found = [
        (path, told)
        for method, path, told in operations()
        if method == request.method and _pattern(path).fullmatch(request.url.path)
    ]
    # the one that says most of the path
    return min(found, key=lambda each: each[0].count("{"))[1] if found else None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    some = ".+" if path == "/v1/models/{id}" else "[^/]+"
    return re.compile(re.sub(r"{\w+}", some, path))
