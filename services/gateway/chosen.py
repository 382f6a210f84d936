"""The data of a run: what was chosen of which source, and what arrived of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from services.gateway.plan import Selection
from services.gateway.prompt import DataFile
from services.gateway.source import Source
from services.gateway.writeback import Target


@dataclass(frozen=True)
class Chosen:
    """A selection with its source, and the source's grant for this run."""

    selection: Selection
    source: Source
    grant: str


def attached(chosen: Chosen | Target) -> sandbox.Source:
    """As the sandbox takes it."""
    return sandbox.Source(
        name=chosen.source.name,
        source_id=chosen.source.id,
        type=chosen.source.type,
        grant=chosen.grant,
    )


def _what(selection: Selection) -> str:
    of = f" ({selection.version})" if selection.version else ""
    return (selection.path or selection.sql) + of


def data_file(file: sandbox.ImportedFile, source: Source, selection: Selection) -> DataFile:
    """As the model is told of it."""
    return DataFile(
        path=file.path,
        size_bytes=file.size_bytes,
        columns=[(column.name, column.type) for column in file.columns],
        rows=file.rows if file.HasField("rows") else None,
        origin=f"{source.name} ({source.type}): {_what(selection)}",
        note="; ".join(_notes(file, source, selection)),
    )


def _notes(file: sandbox.ImportedFile, source: Source, selection: Selection) -> Iterator[str]:
    if file.truncated:
        yield f"the first rows, cut by {file.truncated_by}"
    if selection.sql:
        return
    if about := source.guide.about(selection.path):
        yield about
    for column, text in source.guide.columns(selection.path).items():
        yield f"{column}: {text}"
