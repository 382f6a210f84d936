"""The sources that the operator declares in the credential service's file, in the registry too.

They have ids of their own kind, so that no call can make, change or remove one. Secrets, and where
they lie, stay with the credential service."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from grants.binding import whole_numbers
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit import logs
from servicekit.sql import Database
from servicekit.status import Fault, InvalidField, RemoteFault, Unsupported
from services.gateway.clients import Services, retried
from services.gateway.registry import DECLARED as PREFIX
from services.gateway.registry import check
from services.gateway.store.shared import alone
from services.gateway.store.tables import SourceRow, now_ms

# how often the credential service is asked, in seconds
_LOOK_S = 5.0
_log = logs.get(__name__)


class Declared:
    """Keeps the rows of declared sources as the credential service tells them."""

    def __init__(self, database: Database, services: Services) -> None:
        self._database, self._services = database, services
        self._told: tuple[str, ...] = ()

    async def follow(self) -> None:
        """Until it is cancelled; what fails is tried again at the next look."""
        while True:
            try:
                await self.sync()
            except (Fault, RemoteFault, SQLAlchemyError) as fault:
                self._tell((f"declared sources could not be read: {type(fault).__name__}",))
            await asyncio.sleep(_LOOK_S)

    async def sync(self) -> None:
        """Raises ServiceLost, RemoteFault, SQLAlchemyError."""
        request = credentials.ListDeclaredSourcesRequest()
        listed = await retried(
            "credentials", lambda: self._services.credentials.ListDeclaredSources(request)
        )
        problems = [problem for each in listed.sources if (problem := await self._problem(each))]
        problems += await self._keep(listed.sources)
        self._tell(tuple(problems))

    async def _problem(self, source: credentials.DeclaredSource) -> str:
        """What its connector says against it: it is kept, and each use of it will tell that too."""
        values = dict.fromkeys(source.secrets_set, "kept")
        try:
            described = await self._services.connectors.describe(source.type)
            check(described, _config(source), values, set(values))
        except (InvalidField, Unsupported) as problem:
            return f"line {source.line}: {source.name}: {problem}"
        return ""

    async def _keep(self, sources: Sequence[credentials.DeclaredSource]) -> list[str]:
        problems: list[str] = []
        async with self._database.begin() as session:
            await alone(session, "declared sources")
            found = await session.scalars(
                select(SourceRow).where(SourceRow.id.startswith(PREFIX, autoescape=True))
            )
            rows = {row.id: row for row in found}
            for gone in rows.keys() - {source.source_id for source in sources}:
                await session.delete(rows[gone])
            for source in sources:
                row = rows.get(source.source_id)
                if row is not None:
                    _update(row, source)
                elif await _is_taken(session, source):
                    taken = f"{source.owner} has another source of that name"
                    problems.append(f"line {source.line}: {source.name}: {taken}")
                else:
                    session.add(_row(source))
        return problems

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Each once, as long as it lasts."""
        for problem in problems:
            if problem not in self._told:
                _log.warning("declared_source_wrong", why=problem)
        self._told = problems


@asynccontextmanager
async def following(declared: Declared) -> AsyncIterator[None]:
    task = asyncio.create_task(declared.follow(), name="declared sources")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _is_taken(session: AsyncSession, source: credentials.DeclaredSource) -> bool:
    query = select(SourceRow).where(SourceRow.owner == source.owner, SourceRow.name == source.name)
    return await session.scalar(query) is not None


def _row(source: credentials.DeclaredSource) -> SourceRow:
    row = SourceRow(
        id=source.source_id,
        owner=source.owner,
        guide_json="{}",
        approval="",
        created_ms=now_ms(),
        updated_ms=now_ms(),
    )
    _update(row, source)
    return row


def _update(row: SourceRow, source: credentials.DeclaredSource) -> None:
    if row.version != source.version:
        row.updated_ms = now_ms()
    row.name, row.type, row.description = source.name, source.type, source.description
    row.config_json = json.dumps(_config(source))
    row.secrets_set = json.dumps(list(source.secrets_set))
    row.version = source.version


def _config(source: credentials.DeclaredSource) -> dict[str, Any]:
    """A Struct knows floats only; a port is an integer."""
    return cast("dict[str, Any]", whole_numbers(MessageToDict(source.config)))
