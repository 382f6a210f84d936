"""/v1/data-sources: the registry, and what lies in each source."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from isobath.connector.v1 import connector_pb2 as connector
from servicekit.status import InvalidField
from services.gateway.access.scopes import Scope
from services.gateway.gateway import Gateway
from services.gateway.guards import guards_of, words_of
from services.gateway.guide import guide_of
from services.gateway.http import transfer
from services.gateway.http.asking import (
    authenticated,
    body_of,
    mapping,
    number,
    required,
    string,
    word,
    words,
)
from services.gateway.http.edge import Json
from services.gateway.messages import plain
from services.gateway.plan import selection
from services.gateway.render import limits, query
from services.gateway.source import Change, Draft, Source
from services.gateway.tables import rows_of


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["data sources"])
    base = "/v1/data-sources"

    @router.post(base, status_code=201)
    async def create(request: Request) -> Json:
        """Register a data source; its secrets go to the credential service."""
        caller = await authenticated(gateway, request)
        made = await gateway.registry.create(caller, _draft(await body_of(request)))
        return Json(source_json(made), 201)

    @router.get(base)
    async def listed(request: Request) -> Json:
        """Your data sources, by name."""
        caller = await authenticated(gateway, request)
        size, token = number(request, "page_size"), word(request, "page_token")
        page = await gateway.registry.page(caller, size, token)
        return Json(listing([source_json(each) for each in page.items], page.next_page_token))

    @router.get("/v1/data-source-templates")
    async def templates(request: Request) -> Json:
        """What each type of source needs, with examples."""
        await authenticated(gateway, request)
        return Json(listing([template_json(each) for each in await gateway.registry.types()]))

    @router.get(base + "/{source}")
    async def get(request: Request, source: str) -> Json:
        """One data source, by id or name."""
        caller = await authenticated(gateway, request)
        return Json(source_json(await gateway.registry.get(caller, source)))

    @router.patch(base + "/{source}")
    async def update(request: Request, source: str) -> Json:
        """Change what is given; a null secret is removed."""
        caller = await authenticated(gateway, request)
        change = _change(await body_of(request))
        return Json(source_json(await gateway.registry.update(caller, source, change)))

    @router.delete(base + "/{source}")
    async def delete(request: Request, source: str) -> Json:
        """Delete a source, its secret and its live connections."""
        caller = await authenticated(gateway, request)
        found = await gateway.registry.get(caller, source)
        await gateway.registry.delete(caller, source)
        return Json({"id": found.id, "object": "data_source", "deleted": True})

    @router.post(base + "/{source}/test")
    async def test(request: Request, source: str) -> Json:
        """Try a source, and tell each step."""
        caller = await authenticated(gateway, request, Scope.READ_ONLY)
        return Json(check_json(await gateway.data.check(caller, source)))

    @router.get(base + "/{source}/browse")
    async def browse(request: Request, source: str) -> Json:
        """What lies under a path, or matches a glob."""
        caller = await authenticated(gateway, request)
        asked = connector.BrowseRequest(
            path=word(request, "path"),
            glob=word(request, "glob"),
            page_size=number(request, "page_size"),
            page_token=word(request, "page_token"),
            refresh=word(request, "refresh") == "true",
            include=_include(word(request, "include")),
        )
        found = await gateway.data.browse(caller, source, asked)
        return Json(
            listing([plain(each, defaults=True) for each in found.entries], found.next_page_token)
        )

    @router.get(base + "/{source}/schema")
    async def schema(request: Request, source: str) -> Json:
        """Columns, keys and sizes of a relation, a blob, or a glob as one table."""
        caller = await authenticated(gateway, request)
        asked = connector.InspectRequest(
            path=required(request, "path"),
            refresh=word(request, "refresh") == "true",
            version=word(request, "version"),
        )
        return Json(plain(await gateway.data.inspect(caller, source, asked), defaults=True))

    @router.get(base + "/{source}/preview")
    async def preview(request: Request, source: str) -> Json:
        """The first rows."""
        caller = await authenticated(gateway, request)
        asked = connector.PreviewRequest(selection=_chosen(request), rows=number(request, "limit"))
        found = await gateway.data.preview(caller, source, asked)
        table = rows_of(found.arrow)
        return Json({**table, "row_count": len(table["rows"]), "truncated": found.truncated})

    @router.get(base + "/{source}/statistics")
    async def statistics(request: Request, source: str) -> Json:
        """Statistics of columns, from the server or a sample."""
        caller = await authenticated(gateway, request)
        asked = connector.ProfileRequest(
            path=required(request, "path"), refresh=word(request, "refresh") == "true"
        )
        return Json(plain(await gateway.data.profile(caller, source, asked), defaults=True))

    @router.post(base + "/{source}/query")
    async def run_query(request: Request, source: str) -> Response:
        """Rows of a query as JSON, or by Accept as a stream of CSV, Arrow or Parquet."""
        caller = await authenticated(gateway, request, Scope.READ_ONLY)
        body = await body_of(request)
        asked = _fetch(body, source, gateway.settings.query_rows)
        accept = request.headers.get("accept", "")
        return await transfer.table(gateway, caller, source, asked, accept)

    @router.get(base + "/{source}/content")
    async def content(request: Request, source: str) -> Response:
        """A blob as it is, in ranges too, or with `format=unpacked` what it holds."""
        caller = await authenticated(gateway, request)
        format, wanted = word(request, "format"), request.headers.get("range", "")
        if format == "unpacked":
            return await transfer.unpacked(gateway, caller, source, _chosen(request))
        if format not in ("", "raw"):
            raise InvalidField("format", "format must be raw or unpacked")
        return await transfer.blob(gateway, caller, source, _chosen(request), wanted)

    return router


def source_json(source: Source) -> dict[str, Any]:
    """A source as HTTP shows it."""
    return {
        "id": source.id,
        "object": "data_source",
        "name": source.name,
        "type": source.type,
        "description": source.description,
        "owner": source.owner,
        "teams": list(source.teams),
        "guide": source.guide.as_dict(),
        "approval": words_of(source.approval),
        "config": dict(source.config),
        "secrets_set": list(source.secrets_set),
        "version": source.version,
        "created_at": source.created_ms // 1000,
        "updated_at": source.updated_ms // 1000,
    }


def template_json(described: connector.DescribeResponse) -> dict[str, Any]:
    """A type of source: schemas, examples, and what it can do."""
    told = plain(described, defaults=True)
    return {"object": "data_source_template", **told}


def check_json(found: connector.CheckResponse) -> dict[str, Any]:
    """A check: `ok`, then each step."""
    told = plain(found, defaults=True)
    told["latency_ms"] = found.latency.ToMilliseconds()
    told.pop("latency", None)
    return {"ok": bool(found.steps) and all(step.passed for step in found.steps), **told}


def listing(items: list[dict[str, Any]], next_page_token: str = "") -> dict[str, Any]:
    """OpenAI's list object, with a page token."""
    return {
        "object": "list",
        "data": items,
        "has_more": bool(next_page_token),
        "next_page_token": next_page_token,
    }


def _chosen(request: Request) -> connector.Selection:
    return connector.Selection(path=required(request, "path"), version=word(request, "version"))


def _include(asked: str) -> list[str]:
    words = [each.strip() for each in asked.split(",") if each.strip()]
    names = [f"INCLUDE_{each.upper()}" for each in words]
    if not {*names} <= {*connector.Include.keys()}:
        raise InvalidField("include", "include may hold snapshots, versions, deleted and tags")
    return names


def _draft(body: dict[str, Any]) -> Draft:
    return Draft(
        name=string(body, "name", required=True),
        type=string(body, "type", required=True),
        description=string(body, "description"),
        config=mapping(body, "config"),
        secrets=_strings(mapping(body, "secrets")),
        teams=words(body, "teams"),
        guide=guide_of(mapping(body, "guide")),
        approval=guards_of(words(body, "approval")),
    )


def _change(body: dict[str, Any]) -> Change:
    secrets = mapping(body, "secrets")
    given = {name: value for name, value in secrets.items() if value is not None}
    return Change(
        name=string(body, "name", required=True) if "name" in body else None,
        description=string(body, "description") if "description" in body else None,
        config=mapping(body, "config") if "config" in body else None,
        secrets=_strings(given),
        clear_secrets=tuple(name for name, value in secrets.items() if value is None),
        teams=words(body, "teams") if "teams" in body else None,
        guide=guide_of(mapping(body, "guide")) if "guide" in body else None,
        approval=guards_of(words(body, "approval")) if "approval" in body else None,
    )


def _strings(given: dict[str, Any]) -> dict[str, str]:
    for name, value in given.items():
        if not isinstance(value, str):
            raise InvalidField(f"secrets.{name}", f"secrets.{name} must be a string")
    return given


def _fetch(body: dict[str, Any], source: str, default_rows: int) -> connector.FetchRequest:
    chosen = selection({**body, "source": source}, "body")
    if chosen.is_live:
        raise InvalidField("body", "body needs one of path, table and query")
    request = connector.FetchRequest(limits=limits(chosen, default_rows=default_rows))
    if chosen.sql:
        request.selection.query.CopyFrom(query(chosen.sql, chosen.parameters))
    else:
        request.selection.path = chosen.path
    request.selection.version = chosen.version
    return request
