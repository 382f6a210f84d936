"""Lists by time, a page at a time: the newest first, or the oldest."""

from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from servicekit.status import InvalidField
from services.gateway.pages import token_of, value_of


class Dated(Protocol):
    """A row of such a list."""

    id: Any
    created_ms: Any


def newest_first(query: Select[Any], table: type[Dated], size: int, token: str) -> Select[Any]:
    """One row more than the page holds, which tells whether another one follows. Rows of the same
    millisecond are told apart by their id. Raises `InvalidField` for a token of another list."""
    if token:
        query = query.where(_behind(table.created_ms, table.id, token))
    return query.order_by(table.created_ms.desc(), table.id).limit(size + 1)


def oldest_first(query: Select[Any], table: type[Dated], size: int, token: str) -> Select[Any]:
    """The same list from its end."""
    if token:
        at, last = _place(token)
        created, id = table.created_ms, table.id
        query = query.where(or_(created > at, and_(created == at, id < last)))
    return query.order_by(table.created_ms, table.id.desc()).limit(size + 1)


def _behind(
    created: InstrumentedAttribute[int], id: InstrumentedAttribute[str], token: str
) -> ColumnElement[bool]:
    at, last = _place(token)
    return or_(created < at, and_(created == at, id > last))


def _place(token: str) -> tuple[int, str]:
    at, _, last = value_of(token).partition(" ")
    if not at.isdecimal():
        raise InvalidField("page_token", "page_token is not one that this list gave")
    return int(at), last


def token_behind(row: Dated) -> str:
    """The token of the page behind this row."""
    return token_of(f"{row.created_ms} {row.id}")
