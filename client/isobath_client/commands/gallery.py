"""Figures and tables of a run, fetched to be shown while it goes."""

import os
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from isobath_client.errors import IsobathError
from isobath_client.events import ArtifactReady, FigureReady
from isobath_client.pictures import Picture, drawn, protocol
from isobath_client.places import inside
from isobath_client.rows import Cell, rows
from isobath_client.sync.client import Isobath

SHOWN_ROWS = 8
# what is fetched for the sake of its first rows
TABLE_BYTES = 1024 * 1024


class Gallery:
    """Saves figures to `folder`, or to one of its own where that is None, and draws them where the
    terminal can."""

    def __init__(self, client: Isobath, folder: Path | None) -> None:
        self._client = client
        self._folder = folder
        self._protocol = protocol(os.environ)

    def figure(self, event: FigureReady) -> Sequence[RenderableType]:
        """Where it lies, and itself."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="isobath-"))
        try:
            content = self._client.files.read(event.file_id)
        except IsobathError as gone:
            return [Text(f"  {gone}", style="yellow")]
        path = inside(self._folder, event.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        code = drawn(content, event.media_type, self._protocol)
        return [Text(f"  {path}", style="magenta"), *([Picture(code)] if code else [])]

    def table(self, event: ArtifactReady) -> Sequence[RenderableType]:
        """The first rows of a CSV file."""
        if not event.name.endswith(".csv") or event.size_bytes > TABLE_BYTES:
            return []
        try:
            text = self._client.files.read(event.file_id).decode(errors="replace")
        except IsobathError as gone:
            return [Text(f"  {gone}", style="yellow")]
        first = list(islice(rows([text]), SHOWN_ROWS + 2))
        return (
            [laid_out(first[: SHOWN_ROWS + 1], more=len(first) > SHOWN_ROWS + 1)] if first else []
        )


def laid_out(
    found: Sequence[Sequence[Cell]], *, numbers: Sequence[bool] = (), more: bool = False
) -> Table:
    """Rows as a table, the first its header; `numbers` says which columns stand to the right."""
    table = Table(show_edge=False)
    for place, name in enumerate(found[0]):
        right = place < len(numbers) and numbers[place]
        table.add_column(Text(name or ""), justify="right" if right else "left", overflow="fold")
    for row in found[1:]:
        table.add_row(*(Text("NULL", "dim") if each is None else Text(each) for each in row))
    if more:
        table.add_row(*(Text("…", "dim") for _ in found[0]))
    return table
