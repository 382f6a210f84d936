"""What `ask` gives: the answer, its figures, tables and files, and how it came about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client import display
from isobath_client.aio.files import AsyncFiles
from isobath_client.aio.transport import before_sight, in_thread, on_sight
from isobath_client.events import Event, FigureReady
from isobath_client.places import inside, placed
from isobath_client.requests import Asking
from isobath_client.tables import arrow_of, pandas_of
from isobath_client.transcripts import Program, Transcript

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

REPORT = "report.md"


class AsyncFile:
    """A file of a run. Its bytes are fetched at the first `read`, and kept."""

    def __init__(self, info: messages.FileInfo | FigureReady, files: AsyncFiles) -> None:
        self.id = info.file_id if isinstance(info, FigureReady) else info.id
        self.name = info.name
        self.media_type = info.media_type
        self.size_bytes = info.size_bytes
        self.loaded: bytes | None = None
        self._files = files

    async def read(self) -> bytes:
        """Its bytes."""
        if self.loaded is None:
            self.loaded = await self._files.read(self.id)
        return self.loaded

    async def save(self, into: Path | str = ".") -> Path:
        """Write it to `into`, a folder or a path; give where it lies now."""
        target = placed(Path(into), self.name)
        await in_thread(target.write_bytes, await self.read())
        return target

    def __repr__(self) -> str:
        return f"<{self.name}, {self.size_bytes:,} bytes, {self.id}>"


class AsyncFigure(AsyncFile):
    """A picture that a program showed; a notebook shows it inline."""

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        content = on_sight(self)
        told: dict[str, Any] = {"text/plain": repr(self)}
        if content is not None:
            as_text = self.media_type == "image/svg+xml"
            told[self.media_type] = content.decode() if as_text else content
        return told

    def _repr_png_(self) -> bytes | None:
        return on_sight(self) if self.media_type == "image/png" else None


class AsyncTableFile(AsyncFile):
    """A table among the files: CSV, Parquet or Arrow."""

    async def to_pandas(self) -> "pd.DataFrame":
        """As DataFrame. Raises ImportError without pandas, or pyarrow where it is not CSV."""
        return await in_thread(pandas_of, self.name, await self.read())

    async def to_arrow(self) -> "pa.Table":
        """As `pyarrow.Table`. Raises ImportError without pyarrow."""
        return await in_thread(arrow_of, self.name, await self.read())


class AsyncAsks(Protocol):
    """`AsyncIsobath.ask`, for what follows up."""

    async def __call__(
        self,
        question: str,
        *,
        on_event: Callable[[Event], object] | None = None,
        **asking: Unpack[Asking],
    ) -> "AsyncAnswer": ...


class AsyncAnswer:
    """An answer, as Markdown in `answer`; `str` gives the same, and a notebook shows it laid out.

    `finish` is "answer", or the bound that ended the run early: "rounds", "tokens" or "time".
    """

    def __init__(
        self, read: Transcript, events: Sequence[Event], files: AsyncFiles, ask: AsyncAsks
    ) -> None:
        self.question = read.question
        self.answer = read.answer
        self.finish = read.finish
        self.usage = read.usage
        self.model = read.model
        self.run_id = read.run_id
        self.thread_id = read.thread_id
        self.programs: Sequence[Program] = tuple(read.programs)
        # those that artifacts_to asked for, and what became of them
        self.written = read.written
        self.events = tuple(events)
        self.figures = tuple(AsyncFigure(each, files) for each in read.figures)
        self.tables = tuple(AsyncTableFile(each, files) for each in read.tables)
        known: dict[str, AsyncFile] = {each.id: each for each in (*self.figures, *self.tables)}
        self.files = tuple(known.get(each.id) or AsyncFile(each, files) for each in read.files)
        self._ask = ask

    async def ready(self) -> None:
        """Have what is shown at hand, where showing cannot wait for it."""
        await before_sight(self.figures)

    async def follow_up(
        self,
        question: str,
        *,
        on_event: Callable[[Event], object] | None = None,
        **asking: Unpack[Asking],
    ) -> "AsyncAnswer":
        """Ask on in the same thread: its files and variables are still there. As `ask`."""
        asking["thread"] = self.thread_id
        return await self._ask(question, on_event=on_event, **asking)

    async def save(self, folder: Path | str) -> Sequence[Path]:
        """Write the report and every file to a folder, which is made; folders in names are kept."""
        saved: list[Path] = []
        for file in self.files:
            target = inside(Path(folder), file.name, saved)
            await in_thread(target.parent.mkdir, parents=True, exist_ok=True)
            saved.append(await file.save(target))
        report = Path(folder) / REPORT
        if report not in saved:
            await in_thread(report.parent.mkdir, parents=True, exist_ok=True)
            await in_thread(report.write_text, self.answer)
            saved.append(report)
        return saved

    def __str__(self) -> str:
        return self.answer

    def __repr__(self) -> str:
        return f"<answer of {self.run_id}: {len(self.answer):,} characters>"

    def _repr_markdown_(self) -> str:
        return display.markdown(self.answer)

    def _repr_html_(self) -> str:
        sights = ((each, on_sight(each)) for each in self.figures)
        pictures = {
            each.name: (each.media_type, content) for each, content in sights if content is not None
        }
        return display.html(self.answer, pictures, self.programs, self._footer())

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {
            "text/plain": self.answer,
            "text/markdown": self._repr_markdown_(),
            "text/html": self._repr_html_(),
        }

    def _footer(self) -> str:
        return display.between(self.model, self.run_id, display.told(self.usage))
