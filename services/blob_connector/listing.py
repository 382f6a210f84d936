"""Pages of what lies in a container, one level or by a pattern, with a token that goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from connectorkit.files.paging import place_of, size_of, token_of
from connectorkit.files.patterns import BadPattern, folder_of, name_of, pattern
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.blob_connector.azure import PAGE, Blob, Container, Folder
from services.blob_connector.paths import is_deceitful

# pages of 5,000 names that one call looks through for a pattern: some seconds. Then it answers with
# what it has, be it nothing, and a token to go on.
MAX_PAGES = 10
_INCLUDED = {
    pb.INCLUDE_SNAPSHOTS: "snapshots",
    pb.INCLUDE_VERSIONS: "versions",
    pb.INCLUDE_DELETED: "deleted",
    pb.INCLUDE_TAGS: "tags",
}


@dataclass(frozen=True)
class _Place:
    """Where the next page begins: a page of the service, and the last name and version told."""

    marker: str = ""
    after: str = ""
    version: str = ""


async def browse(
    container: Container, request: pb.BrowseRequest, shown: Callable[[str], bool]
) -> pb.BrowseResponse:
    """One page; `shown` decides by name. Raises `InvalidField`, `BlobNotFound`."""
    size = size_of(request.page_size)
    place = _place(request)
    prefix, matches, folders = _wanted(request)
    include = _included(request)
    entries: list[pb.Entry] = []
    for number in range(MAX_PAGES):
        page = await container.page(
            prefix,
            size=size if folders else PAGE,
            marker=place.marker,
            folders=folders,
            include=include,
        )
        if request.path and not (page.entries or page.marker or place.marker or number):
            raise container.words.nothing(prefix)
        for entry in _after(page.entries, place):
            if not (entry.name and matches(entry.name) and shown(entry.name)):
                continue
            if len(entries) == size:
                last = entries[-1]
                return _page(entries, request, _Place(place.marker, last.path, last.version))
            entries.append(entry_of(entry))
        if not page.marker:
            return _page(entries, request, None)
        place = _Place(page.marker)
        if len(entries) == size:
            break
    return _page(entries, request, place)


def _after(entries: Sequence[Blob | Folder], place: _Place) -> Sequence[Blob | Folder]:
    """What follows the place; should it be gone meanwhile, what would follow it."""
    told = [(entry.name, _version(entry)) for entry in entries]
    if (place.after, place.version) in told:
        return entries[told.index((place.after, place.version)) + 1 :]
    return [entry for entry in entries if entry.name > place.after] if place.after else entries


def _version(entry: Blob | Folder) -> str:
    return entry.version if isinstance(entry, Blob) else ""


def _included(request: pb.BrowseRequest) -> list[str]:
    """As the service calls them. With a delimiter it takes tags alone."""
    if set(request.include) - {pb.INCLUDE_TAGS} and not request.glob:
        raise InvalidField("include", "include needs a glob", remedy='Such as "**" for all.')
    if unknown := set(request.include) - set(_INCLUDED):
        raise InvalidField("include", f"include holds {unknown.pop()}, which is none of its values")
    return [_INCLUDED[each] for each in dict.fromkeys(request.include)]


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
        readable=_readable(found),
        version=found.version,
        comment=_comment(found),
        properties=_properties(found),
    )
    if found.modified_at is not None:
        entry.modified_at.CopyFrom(_time(found))
    return entry


def _readable(found: Blob) -> bool:
    here = found.tier != "Archive" and found.deleted_days is None
    return here and not is_deceitful(found.name)


def _comment(found: Blob) -> str:
    if found.deleted_days is not None:
        return f"deleted: for {found.deleted_days} more days it can be undeleted, and then be read"
    if found.tier != "Archive":
        return ""
    if found.archive_status:
        return f"is being rehydrated ({found.archive_status})"
    return "in the archive tier: rehydrate it to Hot or Cool before it can be read"


def _properties(found: Blob) -> dict[str, str]:
    told = {"tier": found.tier, "content_encoding": found.encoding}
    if found.deleted_days is not None:
        told["deleted"] = "true"
    told = {name: value for name, value in told.items() if value}
    told |= {f"metadata.{name}": value for name, value in found.metadata.items()}
    return told | {f"tag.{name}": value for name, value in found.tags.items()}


def _time(found: Blob) -> Timestamp:
    stamp = Timestamp()
    if found.modified_at is not None:
        stamp.FromDatetime(found.modified_at)
    return stamp


# Tokens


def _asked(request: pb.BrowseRequest) -> tuple[str, ...]:
    return request.path, request.glob, str(request.page_size), str(_included(request))


def _page(
    entries: list[pb.Entry], request: pb.BrowseRequest, after: _Place | None
) -> pb.BrowseResponse:
    if after is None:
        return pb.BrowseResponse(entries=entries)
    token = token_of(_asked(request), (after.marker, after.after, after.version))
    return pb.BrowseResponse(entries=entries, next_page_token=token)


def _place(request: pb.BrowseRequest) -> _Place:
    if not request.page_token:
        return _Place()
    return _Place(*place_of(request.page_token, _asked(request), parts=3))
