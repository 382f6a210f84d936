"""What is said of one operation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.gateway.access.scopes import Scope
from services.gateway.http.reference.contract import Schema

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Parameter:
    """One of the query string, or a header."""

    name: str
    schema: Schema
    said: str
    required: bool = False
    place: str = "query"


@dataclass(frozen=True)
class Answer:
    """A success: schemas by media type. `event`: what each `data:` line of a stream is."""

    said: str
    content: Mapping[str, Schema]
    event: Schema | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """`errors` are statuses beside those of every operation. `needs` is None where nobody has to
    show a key."""

    id: str
    answers: Mapping[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    body_type: str = JSON
    errors: tuple[int, ...] = ()
    needs: Scope | None = Scope.READ_ONLY
