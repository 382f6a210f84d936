"""From settings to a store of bytes that can be used."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from servicekit.limits import Limiter
from servicekit.settings import SettingsError
from services.gateway.bytestore.folder import FolderStore
from services.gateway.bytestore.port import ByteStore
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.errors import FilesLost

FILE_THREADS = 4
# of a blob: 50,000 blocks of 4 MiB ("Scalability and performance targets for Blob storage")
LARGEST_BYTES = 50_000 * 4 * 1024 * 1024
_FOLDER = "files"


@dataclass(frozen=True)
class Place:
    """A container. `endpoint` is its account's address."""

    endpoint: str
    account: str
    container: str


def place_of(url: str) -> Place:
    """Raises `ValueError`."""
    parts = urlsplit(url)
    names = [unquote(each) for each in parts.path.split("/") if each]
    account = "" if _is_address(parts.hostname or "") else (parts.hostname or "").split(".")[0]
    if parts.query or len(names) != (1 if account else 2):
        raise ValueError("URL expects https://ACCOUNT.blob.core.windows.net/CONTAINER")
    if account:
        return Place(f"{parts.scheme}://{parts.netloc}", account, names[0])
    return Place(f"{parts.scheme}://{parts.netloc}/{names[0]}", names[0], names[1])


def _is_address(host: str) -> bool:
    """Whether the account stands in the path, as it does where there is no name for it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or "." not in host
    return True


@asynccontextmanager
async def opened(
    settings: FilesSettings, home: Path, largest_bytes: int
) -> AsyncIterator[ByteStore]:
    """A store that was found to work; closed on leaving. Raises `SettingsError`."""
    async with AsyncExitStack() as stack:
        store: ByteStore
        if settings.url:
            # the SDK takes its time to load, and a folder does not need it
            from services.gateway.bytestore.signing import container

            place = _placed(settings.url, largest_bytes)
            store = await stack.enter_async_context(container(settings, place))
        else:
            folder = home / _FOLDER
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            threads = await stack.enter_async_context(Limiter("files", FILE_THREADS))
            store = FolderStore(folder, threads)
        try:
            await store.check()
        except FilesLost as lost:
            raise SettingsError([f"the store of files: {lost.why}; {lost.cure}"]) from lost
        yield store


def _placed(url: str, largest_bytes: int) -> Place:
    if largest_bytes > LARGEST_BYTES:
        raise SettingsError([f"UPLOAD_BYTES expects {LARGEST_BYTES:,} at most with FILES_URL"])
    try:
        return place_of(url)
    except ValueError as exc:
        raise SettingsError([f"FILES_{exc}"]) from None
