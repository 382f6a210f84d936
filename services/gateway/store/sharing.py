"""Which sources a caller may see: its own, and those shared with its teams."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from servicekit.status import InvalidField
from services.gateway.pages import token_of, value_of
from services.gateway.store.tables import SharedRow, SourceRow


def visible(owner: str, teams: Sequence[str]) -> ColumnElement[bool]:
    """A condition on `sources`."""
    shared = select(SharedRow.source_id).where(SharedRow.team.in_(teams))
    return or_(SourceRow.owner == owner, SourceRow.id.in_(shared))


async def share(session: AsyncSession, source_id: str, teams: Iterable[str]) -> None:
    """With these, and no others."""
    await session.execute(delete(SharedRow).where(SharedRow.source_id == source_id))
    session.add_all(SharedRow(source_id=source_id, team=team) for team in {*teams})


async def teams_of(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Of each source that is shared."""
    query = select(SharedRow).where(SharedRow.source_id.in_(ids)).order_by(SharedRow.team)
    found: dict[str, list[str]] = defaultdict(list)
    for row in await session.scalars(query):
        found[row.source_id].append(row.team)
    return {id: tuple(each) for id, each in found.items()}


def behind(token: str) -> ColumnElement[bool]:
    """The rows behind a token's, by name and id. Raises `InvalidField`."""
    name, space, id = value_of(token).partition(" ")
    if not space:
        raise InvalidField("page_token", "page_token is not one that this list gave")
    return or_(SourceRow.name > name, and_(SourceRow.name == name, SourceRow.id > id))


def token_behind(row: SourceRow) -> str:
    """A name holds no space."""
    return token_of(f"{row.name} {row.id}")
