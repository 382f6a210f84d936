"""/v1/files: OpenAI's files, uploads and artifacts alike."""

import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField
from services.gateway.files import PIECE_BYTES, UPLOAD
from services.gateway.gateway import Gateway
from services.gateway.http.asking import authenticated, number, word
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["files"])

    @router.post("/v1/files")
    async def upload(request: Request) -> Json:
        """Send a file; a missing purpose is taken for user_data."""
        caller = await authenticated(gateway, request)
        async with request.form(max_part_size=1024 * 1024) as form:
            sent, purpose = form.get("file"), form.get("purpose")
            if not isinstance(sent, UploadFile):
                raise InvalidField("file", "file is missing: send multipart/form-data with file")
            named = purpose if isinstance(purpose, str) and purpose else UPLOAD
            info = await gateway.files.put(
                caller.owner, sent.filename or "file", _chunks(sent), purpose=named
            )
        return Json(file_json(info))

    @router.get("/v1/files")
    async def listed(request: Request) -> Json:
        """Files, newest first."""
        caller = await authenticated(gateway, request)
        token = word(request, "page_token")
        if last := word(request, "after"):  # OpenAI's way to say it
            token = await gateway.files.behind(caller.owner, last)
        page = await gateway.files.page(caller.owner, number(request, "limit"), token)
        return Json(listing([file_json(each) for each in page.items], page.next_page_token))

    @router.get("/v1/files/{id}")
    async def get(request: Request, id: str) -> Json:
        """What is known of one file."""
        caller = await authenticated(gateway, request)
        return Json(file_json(await gateway.files.get(caller.owner, id)))

    @router.get("/v1/files/{id}/content")
    async def content(request: Request, id: str) -> Response:
        """A file's bytes: with a key, or by a link that has not expired yet."""
        if signature := word(request, "signature"):
            owner, info = await gateway.files.linked(id, word(request, "expires"), signature)
        else:
            owner = (await authenticated(gateway, request)).owner
            info = await gateway.files.get(owner, id)
        name = urllib.parse.quote(info.name)
        headers = {
            "content-length": str(info.size_bytes),
            # HTML and SVG that a program wrote must not run in this origin
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
            "content-disposition": f"inline; filename*=UTF-8''{name}",
        }
        pieces = await gateway.files.open(owner, id)
        return StreamingResponse(pieces, 200, headers, info.media_type)

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
        "media_type": info.media_type,
        "url": info.url,
    }


async def _chunks(sent: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await sent.read(PIECE_BYTES):
        yield chunk
