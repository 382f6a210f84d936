"""A file that is sent as multipart/form-data, as OpenAI's clients do."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message

from servicekit.status import InvalidField
from services.gateway.errors import TooLarge
from services.gateway.files import ARTIFACT, PIECE_BYTES, UPLOAD

# what stands around the file: the other fields
_AROUND_BYTES = 64 * 1024
# of OpenAI: an hour to thirty days
_SHORTEST_S, _LONGEST_S = 3600, 30 * 24 * 3600
_PURPOSE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Upload:
    """What was sent. `lifetime_s` None = until it is deleted."""

    file: UploadFile
    purpose: str
    lifetime_s: int | None

    @property
    def name(self) -> str:
        return self.file.filename or "file"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes."""
        while piece := await self.file.read(PIECE_BYTES):
            yield piece


def bounded(request: Request, limit_bytes: int) -> Request:
    """The request, which raises `TooLarge` as soon as more has come than a file may hold, before
    all of it lies on the disk."""
    left = limit_bytes + _AROUND_BYTES
    if (told := request.headers.get("content-length", "")).isdecimal() and int(told) > left:
        raise TooLarge("the file", limit_bytes)

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge("the file", limit_bytes)
        return message

    return Request(request.scope, receive)


def upload_of(form: FormData) -> Upload:
    """Raises `InvalidField`."""
    sent = form.get("file")
    if not isinstance(sent, UploadFile):
        raise InvalidField("file", "file is missing: send multipart/form-data with file")
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    return Upload(sent, _purpose(fields), _lifetime_s(fields))


def _purpose(fields: Mapping[str, str]) -> str:
    """Any of OpenAI's or upstream's; it changes nothing here."""
    given = fields.get("purpose") or UPLOAD
    if not _PURPOSE.fullmatch(given):
        raise InvalidField("purpose", "purpose takes a word such as user_data or assistants")
    if given == ARTIFACT:
        raise InvalidField("purpose", f"purpose {ARTIFACT} is of what runs leave")
    return given


def _lifetime_s(fields: Mapping[str, Any]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise InvalidField("expires_after[anchor]", "expires_after[anchor] must be created_at")
    if not str(seconds).isdecimal() or not _SHORTEST_S <= int(str(seconds)) <= _LONGEST_S:
        message = f"expires_after[seconds] must be from {_SHORTEST_S:,} to {_LONGEST_S:,}"
        raise InvalidField("expires_after[seconds]", message)
    return int(str(seconds))
