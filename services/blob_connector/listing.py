"""Pages of what lies in a container, one level or by a pattern, with a token that goes on."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.blob_connector.azure import Blob, Container, Folder
from services.blob_connector.paths import BadPattern, folder_of, name_of, pattern

DEFAULT, LARGEST = 100, 1000
# what one page of the service holds while a pattern is looked for
_SCAN = 1000


@dataclass(frozen=True)
class _Place:
    """Where the next page begins: a page of the service, and how many of its entries to skip."""

    marker: str = ""
    skip: int = 0


async def browse(
    container: Container, request: pb.BrowseRequest, shown: Callable[[str], bool]
) -> pb.BrowseResponse:
    """One page; `shown` decides by name. Raises `InvalidField`."""
    size = _size(request.page_size)
    place = _place(request)
    prefix, matches, folders = _wanted(request)
    entries: list[pb.Entry] = []
    while True:
        page = await container.page(
            prefix, size=size if folders else _SCAN, marker=place.marker, folders=folders
        )
        for number, entry in enumerate(page.entries[place.skip :], place.skip):
            if len(entries) == size:
                return _page(entries, request, _Place(place.marker, number))
            if entry.name and matches(entry.name) and shown(entry.name):
                entries.append(entry_of(entry))
        if not page.marker:
            return _page(entries, request, None)
        place = _Place(page.marker)
        if len(entries) == size:
            return _page(entries, request, place)


def _size(asked: int) -> int:
    if not 0 <= asked <= LARGEST:
        raise InvalidField("page_size", f"page_size must be from 1 to {LARGEST}")
    return asked or DEFAULT


def _wanted(request: pb.BrowseRequest) -> tuple[str, Callable[[str], bool], bool]:
    """Prefix for the service, what fits, and whether folders are shown."""
    folder = folder_of(request.path)
    if not request.glob:
        # a folder's own marker blob is no entry of it
        return folder, lambda name: name != folder, True
    try:
        wanted = pattern(folder + request.glob)
    except BadPattern as bad:
        raise InvalidField("glob", f"{request.glob}: {bad}") from bad
    return wanted.prefix, wanted.matches, False


def entry_of(found: Blob | Folder) -> pb.Entry:
    """As the contract shows it."""
    if isinstance(found, Folder):
        return pb.Entry(
            path=found.name, name=name_of(found.name), kind=pb.ENTRY_KIND_PREFIX, readable=True
        )
    entry = pb.Entry(
        path=found.name,
        name=name_of(found.name),
        kind=pb.ENTRY_KIND_BLOB,
        size_bytes=found.size_bytes,
        content_type=found.content_type,
        etag=found.etag,
        readable=found.tier != "Archive",
        properties={"tier": found.tier} if found.tier else {},
    )
    if found.modified_at is not None:
        entry.modified_at.CopyFrom(_time(found))
    return entry


def _time(found: Blob) -> Timestamp:
    stamp = Timestamp()
    if found.modified_at is not None:
        stamp.FromDatetime(found.modified_at)
    return stamp


# Tokens


def _asked(request: pb.BrowseRequest) -> str:
    text = f"{request.path}\0{request.glob}\0{request.page_size}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _page(
    entries: list[pb.Entry], request: pb.BrowseRequest, after: _Place | None
) -> pb.BrowseResponse:
    if after is None:
        return pb.BrowseResponse(entries=entries)
    told = json.dumps([_asked(request), after.marker, after.skip]).encode()
    token = base64.urlsafe_b64encode(told).decode()
    return pb.BrowseResponse(entries=entries, next_page_token=token)


def _place(request: pb.BrowseRequest) -> _Place:
    if not request.page_token:
        return _Place()
    try:
        asked, marker, skip = json.loads(base64.urlsafe_b64decode(request.page_token))
    except (ValueError, binascii.Error) as torn:
        raise InvalidField("page_token", "page_token is not one that Browse gave") from torn
    if asked != _asked(request) or not isinstance(marker, str) or not isinstance(skip, int):
        raise InvalidField("page_token", "page_token is of another list")
    return _Place(marker, skip)
