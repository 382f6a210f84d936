"""The registry of data sources. It holds no code for any type: connectors say what they need."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jsonschema
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError

from isobath.connector.v1 import connector_pb2 as connector
from isobath.credentials.v1 import credentials_pb2 as credentials
from servicekit import logs
from servicekit.sql import Database
from servicekit.status import InvalidField, RemoteFault
from services.gateway.access.keys import check_teams
from services.gateway.callers import Caller
from services.gateway.clients import Services, retried
from services.gateway.errors import AlreadyExists, Conflict, NotAllowed, SourceNotFound
from services.gateway.guards import words_of
from services.gateway.pages import Page, page_size
from services.gateway.source import Change, Draft, Source, changed, new, row_of, source_of
from services.gateway.store import sharing
from services.gateway.store.tables import SourceRow, now_ms

# ids of sources that the operator declares; those of all others begin with "ds-"
DECLARED = "declared-"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# A change takes far less between the credential service and the database; what is older was begun
# by a gateway that ended in between.
_LEFT_BEHIND_S = 60.0
_log = logs.get(__name__)


class Registry:
    """Sources in the database, their secrets with the credential service."""

    def __init__(self, database: Database, services: Services) -> None:
        self._database = database
        self._services = services

    async def create(self, caller: Caller, draft: Draft) -> Source:
        """Validate, keep the secrets, keep the source; nothing stays when a part fails.

        Raises `InvalidField`, `AlreadyExists`, `Unsupported`, `ServiceLost`.
        """
        _check_name(draft.name)
        _check_teams(caller, draft.teams)
        described = await self._services.connectors.describe(draft.type)
        check(described, draft.config, draft.secrets, set(draft.secrets))
        if await self._named(caller.owner, draft.name) is not None:
            raise AlreadyExists("name", draft.name)
        source = new(caller, draft)
        await self._put(source, draft.secrets, expected_version=0)
        try:
            async with self._database.begin() as session:
                session.add(row_of(source))
                await session.flush()
                await sharing.share(session, source.id, source.teams)
        except BaseException as failed:
            await self._forget(source.id)
            if isinstance(failed, IntegrityError):
                raise AlreadyExists("name", draft.name) from failed
            raise
        return source

    async def page(self, caller: Caller, size: int = 0, token: str = "") -> Page[Source]:
        """The caller's sources and those shared with it, by name."""
        size = page_size(size)
        query = select(SourceRow).where(sharing.visible(caller.owner, caller.all_teams))
        query = query.order_by(SourceRow.name, SourceRow.id).limit(size + 1)
        if token:
            query = query.where(sharing.behind(token))
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
            teams = await sharing.teams_of(session, [row.id for row in rows])
        more = sharing.token_behind(rows[size - 1]) if len(rows) > size else ""
        return Page([source_of(row, teams.get(row.id, ())) for row in rows[:size]], more)

    async def get(self, caller: Caller, id_or_name: str) -> Source:
        """One source that this caller may see, by id or by name; of several of that name its own.
        Raises `SourceNotFound`, `Conflict` for a name that several are shared under."""
        named = or_(SourceRow.id == id_or_name, SourceRow.name == id_or_name)
        query = select(SourceRow).where(named, sharing.visible(caller.owner, caller.all_teams))
        async with self._database.begin() as session:
            rows = (await session.scalars(query)).all()
            row = _meant(caller, id_or_name, rows)
            teams = await sharing.teams_of(session, [row.id])
        return source_of(row, teams.get(row.id, ()))

    async def own(self, caller: Caller, id_or_name: str) -> Source:
        """One source that belongs to this caller. Raises `SourceNotFound`, `NotAllowed`."""
        source = await self.get(caller, id_or_name)
        if source.owner != caller.owner:
            raise NotAllowed(f"{source.name} is shared with you, and belongs to another", "owner")
        return source

    async def update(self, caller: Caller, id_or_name: str, change: Change) -> Source:
        """Make the next version; connections of the old one are closed everywhere.

        Raises `SourceNotFound`, `NotAllowed`, `InvalidField`, `AlreadyExists`, `Conflict`,
        `ServiceLost`.
        """
        before = await self.own(caller, id_or_name)
        if change.is_declarable:
            _require_undeclared(before)
        _check_teams(caller, tuple({*(change.teams or ())} - {*before.teams}))
        described = await self._services.connectors.describe(before.type)
        after = changed(before, change)
        _check_name(after.name)
        check(described, after.config, change.secrets, set(after.secrets_set))
        if after.name != before.name and await self._named(caller.owner, after.name):
            raise AlreadyExists("name", after.name)
        require_anew(before, after, change)
        if after.version != before.version:
            expected = await self._stored_version(before)
            version = await self._put(after, change.secrets, change.clear_secrets, expected)
            after = replace(after, version=version)
        await self._replace(before, after)
        if after.version != before.version:
            await self._revoke(before, "the source was changed")
        return after

    async def delete(self, caller: Caller, id_or_name: str) -> None:
        """Forget the source and its secret, revoke its grants, close its connections.

        Raises `SourceNotFound`, `NotAllowed`, `Conflict` for a declared one, `ServiceLost`.
        """
        source = await self.own(caller, id_or_name)
        _require_undeclared(source)
        await self._revoke(source, "the source was deleted")
        await self._forget(source.id)
        async with self._database.begin() as session:
            await session.execute(delete(SourceRow).where(SourceRow.id == source.id))

    async def types(self) -> list[connector.DescribeResponse]:
        """The types of source that are served."""
        return await self._services.connectors.types()

    async def _named(self, owner: str, name: str) -> SourceRow | None:
        query = select(SourceRow).where(SourceRow.owner == owner, SourceRow.name == name)
        async with self._database.begin() as session:
            found: SourceRow | None = await session.scalar(query)
            return found

    async def _replace(self, before: Source, after: Source) -> None:
        try:
            async with self._database.begin() as session:
                row = await session.get(SourceRow, before.id, with_for_update=True)
                if row is None or row.version != before.version:
                    raise Conflict("data source", before.id, "it was changed meanwhile")
                row.name, row.description = after.name, after.description
                row.config_json = json.dumps(after.config)
                row.secrets_set = json.dumps(after.secrets_set)
                row.guide_json = json.dumps(after.guide.as_dict())
                row.approval = " ".join(words_of(after.approval))
                row.version, row.updated_ms = after.version, after.updated_ms
                if after.teams != before.teams:
                    await sharing.share(session, after.id, after.teams)
        except IntegrityError as taken:
            raise AlreadyExists("name", after.name) from taken

    async def _put(
        self,
        source: Source,
        values: Mapping[str, str],
        clear: tuple[str, ...] = (),
        expected_version: int = 0,
    ) -> int:
        """The secret's next version, bound to where the source connects from now on."""
        request = credentials.PutSecretRequest(
            source_id=source.id,
            owner=source.owner,
            fields=values,
            clear=clear,
            expected_version=expected_version,
            source_type=source.type,
            config=ParseDict(dict(source.config), Struct()),
        )
        put = await retried("credentials", lambda: self._services.credentials.PutSecret(request))
        return int(put.version)

    async def _stored_version(self, before: Source) -> int:
        """That of the secret, which is the source's own unless somebody is changing both.

        Raises `Conflict`.
        """
        request = credentials.DescribeSecretRequest(source_id=before.id)
        try:
            stored = await retried(
                "credentials", lambda: self._services.credentials.DescribeSecret(request)
            )
        except RemoteFault as fault:
            if fault.reason != "NOT_FOUND":
                raise
            return 0
        age_s = now_ms() / 1000 - stored.updated_at.ToNanoseconds() / 1e9
        if stored.version != before.version and age_s < _LEFT_BEHIND_S:
            raise Conflict(
                "data source",
                before.id,
                "it was changed meanwhile",
                remedy="Read it and try again.",
            )
        return int(stored.version)

    async def _revoke(self, source: Source, cause: str) -> None:
        request = credentials.RevokeGrantRequest(source_id=source.id, cause=cause)
        await retried("credentials", lambda: self._services.credentials.RevokeGrant(request))

    async def _forget(self, source_id: str) -> None:
        request = credentials.DeleteSecretRequest(source_id=source_id)
        await retried("credentials", lambda: self._services.credentials.DeleteSecret(request))


def check(
    described: connector.DescribeResponse,
    config: Mapping[str, Any],
    values: Mapping[str, str],
    present: set[str],
) -> None:
    """Hold settings and secrets against the connector's schemas.

    `present` are the secret fields that will be set; those without a value in `values` are kept
    ones. Raises `InvalidField`, which names the field and never shows a secret.
    """
    _validate(described.config_schema, dict(config), "config")
    secrets_given = {name: values.get(name, "kept") for name in present}
    _validate(described.secrets_schema, secrets_given, "secrets", show=False)


def _require_undeclared(source: Source) -> None:
    if source.id.startswith(DECLARED):
        raise Conflict(
            "data source",
            source.id,
            f"{source.name} is declared in the operator's file",
            remedy="Have it changed, or taken out, there.",
        )


def require_anew(before: Source, after: Source, change: Change) -> None:
    """Hold that nobody sends a stored secret elsewhere by changing settings alone.

    The credential service holds it too; here it is told by the caller's own names. Raises
    `InvalidField`.
    """
    if before.config == after.config:
        return
    for name in after.secrets_set:
        if name not in change.secrets:
            raise InvalidField(
                f"secrets.{name}",
                f"changing where a source connects needs its secret again: {name} is missing",
                remedy=f"Send {name} together with the new config.",
            )


def _validate(schema: Struct, given: dict[str, Any], at: str, *, show: bool = True) -> None:
    validator = jsonschema.Draft202012Validator(MessageToDict(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(given))
    if error is None:
        return
    where = ".".join([at, *(str(part) for part in error.absolute_path), *_missing(error)])
    what = error.message if show else _without_value(error)
    raise InvalidField(where, f"{where}: {what}", remedy="See GET /v1/data-source-templates.")


def _missing(error: Any) -> list[str]:
    """The property that `required` misses, so that the field is named rather than its parent."""
    if error.validator != "required":
        return []
    return [name for name in error.validator_value if name not in error.instance][:1]


def _without_value(error: Any) -> str:
    """What is wrong, in the schema's words: jsonschema's own would show the value."""
    named = {
        "required": "is required",
        "additionalProperties": f"only {', '.join(error.schema.get('properties', {}))} may be set",
        "oneOf": f"exactly one of {', '.join(_alternatives(error.schema))} must be set",
        "minProperties": "at least one must be set",
        "maxProperties": "only one may be set",
    }
    return named.get(error.validator, f"does not fit ({error.validator})")


def _alternatives(schema: Mapping[str, Any]) -> list[str]:
    required = [name for each in schema.get("oneOf", []) for name in each.get("required", [])]
    return required or list(schema.get("properties", {}))


def _meant(caller: Caller, asked: str, rows: Sequence[SourceRow]) -> SourceRow:
    """An id first, then the caller's own by name, then the only one that is shared."""
    for row in rows:
        if row.id == asked:
            return row
    mine = [row for row in rows if row.owner == caller.owner] or rows
    if len(mine) > 1:
        raise Conflict(
            "data source",
            asked,
            f"several data sources called {asked} are shared with you",
            remedy=f"Name it by its id: {', '.join(sorted(row.id for row in mine))}.",
        )
    if not mine:
        raise SourceNotFound(asked)
    return mine[0]


def _check_teams(caller: Caller, teams: tuple[str, ...]) -> None:
    """Nobody but an admin shares with a team of others."""
    check_teams(teams)
    for team in sorted({*teams} - {*caller.teams}):
        if not caller.is_admin:
            raise InvalidField("teams", f"you are not a member of {team}")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidField(
            "name", "name takes 1 to 64 letters, digits, - and _", remedy="Shorten it."
        )
