"""What a table is made of: files, as their source tells of them."""

import io
from abc import abstractmethod
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self


class Member(Protocol):
    """A file as it was listed. `encoding` = what it is compressed with, where its name does not say
    so."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def modified_at(self) -> datetime | None: ...
    @property
    def content_type(self) -> str: ...
    @property
    def encoding(self) -> str: ...


class Opened(io.RawIOBase):
    """A member as a seekable file: made on the loop, read in threads, one at a time.

    `async with` aborts it on leaving: a thread that waits for bytes gets an error then, instead of
    holding on."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    @abstractmethod
    def abort(self) -> None:
        """From any thread, also while another one reads."""
