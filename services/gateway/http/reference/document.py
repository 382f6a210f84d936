"""The OpenAPI document: routes, and what `operations` says of them. Pure."""

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

from fastapi.routing import APIRoute

from services.gateway.http.reference import bodies, completions, schemas
from services.gateway.http.reference.contract import Schema
from services.gateway.http.reference.forms import ref
from services.gateway.http.reference.operation import JSON, Answer, Operation, Parameter
from services.gateway.http.reference.operations import OPERATIONS, PLACES

# in the order of the page
TAGS = ("chat", "responses", "runs", "data sources", "files", "access", "platform")
# of every operation that takes a key
_ALWAYS = (400, 401, 403, 429, 500, 503)
ERRORS = {
    400: "The request cannot be taken; `param` names the field.",
    401: "No key, or one that is unknown, expired or revoked.",
    403: "The scope is too narrow, or the source's grant does not reach so far.",
    404: "Not there, or another's.",
    409: "Taken, in use, or taken back meanwhile.",
    413: "Over a limit, told before bytes move.",
    416: "The file has no such range.",
    422: "The source refused.",
    429: "Too many at once, or a quota is used up; `Retry-After` says how long to wait.",
    499: "The run was cancelled.",
    500: "A defect of the platform; the log tells more under `request_id`.",
    502: "A source or a service failed.",
    503: "A service is away; `Retry-After` says how long to wait.",
    504: "A source or a service is too slow.",
}
_PARAMETER = re.compile(r"{(\w+)}")
_WHERE = "services/gateway/http/reference/operations.py"


class Undescribed(LookupError):
    """A route without an entry. The message says where it goes."""


def words(name: str) -> str:
    """Prose of the document, in Markdown: `overview`, or of a tag."""
    place = files("services.gateway.http.reference") / "words" / f"{name.replace(' ', '-')}.md"
    return place.read_text().strip()


def document(routes: Iterable[APIRoute], version: str) -> dict[str, Any]:
    """All of it. Raises `Undescribed`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            at = paths.setdefault(route.path_format, {})
            at[method.lower()] = _operation(route, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Isobath",
            "version": version,
            "summary": "Ask questions of the data you already have.",
            "description": words("overview"),
        },
        "tags": [{"name": tag, "description": words(tag)} for tag in TAGS],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {str(status): _error(said) for status, said in ERRORS.items()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a token of the company's own sign-in.",
                }
            },
        },
    }


def _schemas() -> dict[str, Schema]:
    found = {**schemas.components(), **completions.components(), **bodies.components()}
    return dict(sorted(found.items()))


def described(method: str, path: str) -> Operation:
    """The entry of a route. Raises `Undescribed`."""
    found = OPERATIONS.get(f"{method} {path}")
    if found is None:
        raise Undescribed(
            f"{method} {path} is not described: add an entry to OPERATIONS in {_WHERE},"
            " and what it takes and answers to bodies.py and schemas.py beside it"
        )
    return found


def _operation(route: APIRoute, method: str) -> dict[str, Any]:
    told = described(method, route.path_format)
    summary, description = _docstring(route)
    made: dict[str, Any] = {
        "operationId": told.id,
        "tags": list(route.tags),
        "summary": summary,
        "description": description,
        "parameters": [*_places(route.path_format), *map(_parameter, told.parameters)],
        "responses": dict(_responses(told)),
    }
    if told.needs is None:
        made["security"] = []
    else:
        made["x-scope"] = told.needs.word
    if told.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {told.body_type: {"schema": told.body}},
        }
    return {name: value for name, value in made.items() if value or name == "security"}


def _docstring(route: APIRoute) -> tuple[str, str]:
    """Its first sentence without the point, and the whole."""
    said = inspect.getdoc(route.endpoint) or ""
    first = said.split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[a-z)`])[.;:](?:\s|$)", first, maxsplit=1)[0], said


def _places(path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        said = next((told for begin, told in PLACES.items() if path.startswith(begin)), None)
        if said is None:
            raise Undescribed(
                f"{{{name}}} of {path} is not described: add it to PLACES in {_WHERE}"
            )
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": said,
            "schema": {"type": "string"},
        }


def _parameter(told: Parameter) -> dict[str, Any]:
    return {
        "name": told.name,
        "in": told.place,
        "required": told.required,
        "description": told.said,
        "schema": told.schema,
    }


def _responses(told: Operation) -> Iterator[tuple[str, Any]]:
    for status, answer in told.answers.items():
        yield str(status), _answer(answer)
    always = () if told.needs is None else _ALWAYS
    for status in sorted({*told.errors, *always, *(() if told.body is None else (413,))}):
        yield str(status), {"$ref": f"#/components/responses/{status}"}


def _answer(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {
        media_type: {"schema": schema} for media_type, schema in answer.content.items()
    }
    made: dict[str, Any] = {"description": answer.said, "content": content}
    if answer.event is not None:
        content["text/event-stream"]["x-event"] = answer.event
    if answer.headers:
        made["headers"] = {
            name: {"description": said, "schema": {"type": "string"}}
            for name, said in answer.headers.items()
        }
    return made


def _error(said: str) -> Schema:
    return {"description": said, "content": {JSON: {"schema": ref("Error")}}}
