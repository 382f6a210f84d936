"""Bytes as files of a local folder, or of one that is mounted."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, cast

from servicekit.limits import Limiter
from services.gateway.bytestore.port import Gone, Kept, Piece
from services.gateway.errors import FilesLost

READ_BYTES = 512 * 1024
# what is written lies under this ending until it is whole
PART = ".part"
_PROBE = ".isobath-probe"


class FolderStore:
    """A file for each name, under that name."""

    def __init__(self, folder: Path, threads: Limiter) -> None:
        self._folder = folder
        self._threads = threads

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        part = self._folder / f"{name}{PART}"
        size = 0
        with self._told():
            try:
                async with self._opened(part, "xb") as file:
                    async for chunk in chunks:
                        size += len(chunk)
                        await self._threads.run(file.write, chunk)
                await self._threads.run(part.rename, self._folder / name)
            finally:
                await self._threads.run(part.unlink, missing_ok=True)
        return size

    async def read(self, name: str, piece: Piece) -> AsyncGenerator[bytes, None]:
        left = piece.length
        with self._told(), self._gone(name):
            async with self._opened(self._folder / name, "rb") as file:
                await self._threads.run(file.seek, piece.offset)
                while left:
                    read = await self._threads.run(file.read, min(left, READ_BYTES))
                    if not read:
                        raise Gone(name)
                    left -= len(read)
                    yield read

    @asynccontextmanager
    async def _opened(self, path: Path, mode: str) -> AsyncIterator[IO[bytes]]:
        """Closed on leaving, also where the thread has opened it for one who is cancelled."""
        with ExitStack() as stack:
            yield cast(
                IO[bytes], await self._threads.run(lambda: stack.enter_context(path.open(mode)))
            )

    async def delete(self, name: str) -> None:
        with self._told():
            await self._threads.run((self._folder / name).unlink, missing_ok=True)

    async def kept(self) -> AsyncGenerator[Kept, None]:
        with self._told():
            names = await self._threads.run(self._names)
            for at in range(0, len(names), 1000):
                for each in await self._threads.run(self._seen, names[at : at + 1000]):
                    yield each

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir())

    def _seen(self, names: list[str]) -> list[Kept]:
        found = []
        for name in names:
            try:
                told = (self._folder / name).lstat()
            except FileNotFoundError:
                continue  # deleted meanwhile
            found.append(Kept(name, told.st_size, told.st_mtime_ns // 1_000_000))
        return found

    async def check(self) -> None:
        def probe() -> None:
            path = self._folder / _PROBE
            path.write_bytes(b"")
            # that of another gateway, which starts at the same moment, may have gone with its own
            path.unlink(missing_ok=True)

        with self._told():
            await self._threads.run(probe)

    @contextmanager
    def _gone(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise Gone(name) from exc

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The system's errors as the gateway's own. Those of `chunks` are of other kinds."""
        try:
            yield
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
            raise FilesLost(
                f"folder {self._folder}: {why}",
                "let the gateway's account write there, and see that the disk is not full",
            ) from exc
