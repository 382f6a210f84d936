"""Pages of what lies in a folder, one level or by a pattern, and what a path stands for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connectorkit.files.paging import place_of, size_of, token_of
from connectorkit.files.patterns import (
    BadPattern,
    Pattern,
    folder_of,
    is_pattern,
    name_of,
    pattern,
)
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.file_connector.errors import Forbidden, NoSuchFile
from services.file_connector.folders import File, Folder, Looking, Subfolder
from services.file_connector.looking import looked

MAX_MEMBERS = 10_000
# entries that one call looks through: some seconds of a slow disk. Browsing then answers with what
# it has, be it nothing, and a token to go on.
MAX_LOOKED = 100_000
MAX_LOOKED_FOR_MEMBERS = 1_000_000
Shown = Callable[[str], bool]


# Browse


async def browse(folder: Folder, request: pb.BrowseRequest, shown: Shown) -> pb.BrowseResponse:
    """One page; `shown` decides by name. Raises `InvalidField`, `NoSuchFile`, `Forbidden`."""
    if request.include:
        raise InvalidField("include", "folders keep no snapshots, versions, deleted files or tags")
    page = _Page(folder, request, shown)
    return await looked(folder.threads, page.made, most=MAX_LOOKED)


@dataclass
class _Page:
    folder: Folder
    request: pb.BrowseRequest
    shown: Shown

    def __post_init__(self) -> None:
        """Raises `InvalidField`."""
        self._size = size_of(self.request.page_size)
        self._wanted = _wanted(self.request)
        self._after = _after(self.request)

    def made(self, looking: Looking) -> pb.BrowseResponse:
        entries: list[pb.Entry] = []
        last = self._after
        for found in self._found(looking):
            if len(entries) == self._size:
                return self._told(entries, last)
            last = found.name
            if self.shown(found.name):
                entries.append(entry_of(found))
        if looking.left < 0:
            return self._told(entries, looking.last)
        return pb.BrowseResponse(entries=entries)

    def _found(self, looking: Looking) -> Iterator[File | Subfolder]:
        if self._wanted is None:
            yield from self.folder.level(self.request.path, self._after, looking)
            return
        if self.request.path:
            # a pattern may match nothing; that its folder is not there is told
            self.folder.require_folder(self.request.path)
        try:
            for file in self.folder.tree(self._wanted.prefix, self._after, looking):
                if self._wanted.matches(file.name):
                    yield file
        except NoSuchFile:
            return

    def _told(self, entries: list[pb.Entry], last: str) -> pb.BrowseResponse:
        token = token_of(_asked(self.request), (last,))
        return pb.BrowseResponse(entries=entries, next_page_token=token)


def _wanted(request: pb.BrowseRequest) -> Pattern | None:
    """None = one level."""
    if not request.glob:
        return None
    try:
        return pattern(folder_of(request.path) + request.glob)
    except BadPattern as bad:
        raise InvalidField("glob", f"{request.glob}: {bad}") from bad


def _asked(request: pb.BrowseRequest) -> tuple[str, ...]:
    return request.path, request.glob, str(request.page_size)


def _after(request: pb.BrowseRequest) -> str:
    if not request.page_token:
        return ""
    return place_of(request.page_token, _asked(request), parts=1)[0]


def entry_of(found: File | Subfolder) -> pb.Entry:
    """As the contract shows it."""
    name = name_of(found.name)
    if isinstance(found, Subfolder):
        return pb.Entry(path=found.name, name=name, kind=pb.ENTRY_KIND_PREFIX, readable=True)
    entry = pb.Entry(
        path=found.name,
        name=name,
        kind=pb.ENTRY_KIND_BLOB,
        size_bytes=found.size_bytes,
        content_type=found.content_type,
        etag=found.etag,
        readable=found.readable,
        comment="" if found.readable else "the account of the connector may not read it",
    )
    if found.modified_at is not None:
        entry.modified_at.FromDatetime(found.modified_at)
    return entry


# What a path stands for


async def members(folder: Folder, path: str, version: str) -> list[File]:
    """The files that a path stands for, in name order. A file whose own name is the pattern is that
    file alone. Raises `NoSuchFile`, `Forbidden`, `InvalidField`."""
    if version:
        raise InvalidField("version", "files of a folder have no earlier versions")
    if not path or path.endswith("/"):
        raise InvalidField("path", "path must name a file or a pattern, not a folder")
    if not is_pattern(path):
        return [await folder.threads.run(folder.file, path)]
    return await looked(
        folder.threads, lambda looking: _members(folder, path, looking), most=MAX_LOOKED_FOR_MEMBERS
    )


def _members(folder: Folder, path: str, looking: Looking) -> list[File]:
    try:
        return [folder.file(path)]
    except (NoSuchFile, Forbidden):
        wanted = _pattern(path)
    try:
        found = _matching(folder, wanted, looking)
    except NoSuchFile:
        found = []
    if not found:
        raise NoSuchFile(
            f"{path} matches no file", remedy="Browse the source for what there is.", path=path
        )
    return found


def _pattern(path: str) -> Pattern:
    try:
        return pattern(path)
    except BadPattern as bad:
        raise InvalidField("path", f"{path}: {bad}") from bad


def _matching(folder: Folder, wanted: Pattern, looking: Looking) -> list[File]:
    found: list[File] = []
    for file in folder.tree(wanted.prefix, "", looking):
        if wanted.matches(file.name):
            found.append(file)
        if len(found) > MAX_MEMBERS:
            raise InvalidField("path", f"{wanted.text} matches more than {MAX_MEMBERS:,} files")
    if looking.left < 0:
        raise InvalidField(
            "path",
            f"{wanted.text} looks through more than {MAX_LOOKED_FOR_MEMBERS:,} entries",
            remedy="Begin the pattern with the folders that are meant.",
        )
    return found
