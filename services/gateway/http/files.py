"""/v1/files: OpenAI's files, uploads and artifacts alike."""

import urllib.parse
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway.bytestore.port import Piece
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated, number, word
from services.gateway.http.edge import Json
from services.gateway.http.ranges import Unsatisfiable, told, wanted
from services.gateway.http.sources import listing
from services.gateway.http.uploads import bounded, upload_of
from services.gateway.openai import envelope
from services.gateway.pages import LARGEST
from services.gateway.store.newest import newest_first, oldest_first

ORDERS = {"desc": newest_first, "asc": oldest_first}


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["files"])

    @router.post("/v1/files")
    async def upload(request: Request) -> Json:
        """Send a file; a missing purpose is taken for user_data. With `expires_after` it goes by
        itself."""
        caller = await authenticated(gateway, request)
        limited = bounded(request, gateway.settings.upload_bytes)
        async with limited.form(max_part_size=1024 * 1024) as form:
            sent = upload_of(form)
            info = await gateway.files.put(
                caller.owner,
                sent.name,
                sent.pieces(),
                purpose=sent.purpose,
                lifetime_s=sent.lifetime_s,
            )
        return Json(file_json(info))

    @router.get("/v1/files")
    async def listed(request: Request) -> Json:
        """Files, newest first unless `order` says otherwise."""
        caller = await authenticated(gateway, request)
        token = word(request, "page_token")
        if last := word(request, "after"):  # OpenAI's way to say it
            token = await gateway.files.behind(caller.owner, last)
        order = ORDERS.get(word(request, "order") or "desc")
        if order is None:
            raise InvalidField("order", f"order is one of {', '.join(ORDERS)}")
        page = await gateway.files.page(
            caller.owner,
            # OpenAI's clients may ask for 10,000, and page on by what came
            min(number(request, "limit"), LARGEST),
            token,
            purpose=word(request, "purpose"),
            order=order,
        )
        return Json(listing([file_json(each) for each in page.items], page.next_page_token))

    @router.get("/v1/files/{id}")
    async def get(request: Request, id: str) -> Json:
        """What is known of one file."""
        caller = await authenticated(gateway, request)
        return Json(file_json(await gateway.files.get(caller.owner, id)))

    @router.get("/v1/files/{id}/content")
    async def content(request: Request, id: str) -> Response:
        """A file's bytes, or a range of them: with a key, or by a link that has not expired yet."""
        if signature := word(request, "signature"):
            owner, info = await gateway.files.linked(id, word(request, "expires"), signature)
        else:
            owner = (await authenticated(gateway, request)).owner
            info = await gateway.files.get(owner, id)
        try:
            piece = wanted(_range(request, info), info.size_bytes)
        except Unsatisfiable as none:
            headers = {"content-range": f"bytes */{info.size_bytes}"}
            details = {"field": "range"}
            body = envelope(416, "INVALID_FIELD", str(none), details=details)
            return Json(body, 416, headers=headers)
        pieces = await gateway.files.open(owner, id, piece)
        headers = _headers(info, piece)
        return StreamingResponse(pieces, 206 if piece else 200, headers, info.media_type)

    @router.delete("/v1/files/{id}")
    async def delete(request: Request, id: str) -> Json:
        """Delete a file."""
        caller = await authenticated(gateway, request)
        await gateway.files.delete(caller.owner, id)
        return Json({"id": id, "object": "file", "deleted": True})

    return router


def file_json(info: analyst.FileInfo) -> dict[str, Any]:
    """OpenAI's file object, with its address."""
    return {
        "id": info.id,
        "object": "file",
        "filename": info.name,
        "bytes": info.size_bytes,
        "created_at": info.created_at.seconds,
        "purpose": info.purpose,
        "status": "processed",
        "expires_at": info.expires_at.seconds or None,
        "media_type": info.media_type,
        "url": info.url,
    }


def _range(request: Request, info: analyst.FileInfo) -> str:
    """What is asked for, unless it is of another file than this one."""
    of = request.headers.get("if-range", _etag(info))
    return request.headers.get("range", "") if of == _etag(info) else ""


def _etag(info: analyst.FileInfo) -> str:
    """A file's bytes never change."""
    return f'"{info.id}"'


def _headers(info: analyst.FileInfo, piece: Piece | None) -> dict[str, str]:
    headers = {
        "content-length": str(piece.length if piece else info.size_bytes),
        "accept-ranges": "bytes",
        "etag": _etag(info),
        # HTML and SVG that a program wrote must not run in this origin
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "content-disposition": f"inline; filename*=UTF-8''{urllib.parse.quote(info.name)}",
    }
    if piece:
        headers["content-range"] = told(piece, info.size_bytes)
    return headers
