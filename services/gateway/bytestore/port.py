"""What a store of bytes is asked for."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Piece:
    """Some of a file's bytes."""

    offset: int
    length: int


@dataclass(frozen=True)
class Kept:
    """What lies in the store: whole, or the rest of a write that was cut off."""

    name: str
    size_bytes: int
    written_ms: int


class Gone(LookupError):
    """There are no bytes of this name, or fewer than were kept."""


class ByteStore(Protocol):
    """Bytes under names that never change, and are never written again under the same name.

    Names are those of files: `file-` and 24 hexadecimal digits. A store that cannot be used raises
    `FilesLost`."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep bytes, whole or not at all, in bounded memory; how many there were. What `chunks`
        raises goes through, and leaves nothing to be seen, as cancellation does."""

    def read(self, name: str, piece: Piece) -> AsyncGenerator[bytes, None]:
        """The bytes of a piece, some at a time. Raises `Gone`, of bytes that were never there
        before the first ones; closing it frees what it holds."""

    async def delete(self, name: str) -> None:
        """Forget bytes, also those of `kept` that are not whole; what is not there stays so."""

    def kept(self) -> AsyncGenerator[Kept, None]:
        """Everything that lies there, in the order of the names' bytes. Also what others put there,
        under other names."""

    async def check(self) -> None:
        """Whether it can be written to and read. Raises `FilesLost`, with what to do."""
