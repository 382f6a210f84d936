"""Files as tables: CSV, Parquet, ORC, JSON, Arrow and Excel, read in batches from a seekable file.

All functions here block: call them in a thread.
"""

import io
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from connectorkit.files import csvs, footers, jsons, sheets
from connectorkit.files.csvs import Enough
from connectorkit.files.errors import Unreadable
from connectorkit.files.footers import Extent
from connectorkit.files.packing import ENDINGS, unpacked
from connectorkit.files.schemas import Found, Written, fitted, selected
from connectorkit.tables import PIECE_BYTES

# a row group that is read whole is held as it lies in the file
GROUP_BYTES = 32 * 1024 * 1024
COLUMN_BYTES = 256 * 1024
BATCH_ROWS = 16 * 1024
KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".arrows": "arrow",
    ".orc": "orc",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
_CONTENT_TYPES = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.orc": "orc",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "excel",
}
_ARROW_FILE = b"ARROW1"


@dataclass(frozen=True)
class Source:
    """A file to read: its name, its kind, the file, and what it is compressed with. `written`: how,
    as `schema_of` found it. `sample`: only the first rows will be read."""

    name: str
    kind: str
    file: io.RawIOBase
    packing: str = ""
    written: Written | None = None
    sample: bool = False


def kind_of(name: str, content_type: str = "") -> str:
    """The format by the name's ending, before one of a compression, or else by the content type;
    "" = no table."""
    path = PurePosixPath(name.lower())
    ending = path.with_suffix("").suffix if path.suffix in ENDINGS else path.suffix
    return KINDS.get(ending) or _CONTENT_TYPES.get(content_type.partition(";")[0].strip(), "")


@contextmanager
def _readable(source: Source) -> Iterator[None]:
    """Arrow's complaints as ours, with the file's name."""
    try:
        yield
    # OSError: what Arrow makes of a torn compression
    except (pa.ArrowException, ValueError, EOFError, KeyError, OSError) as exc:
        kind = source.kind or "table"
        told = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise Unreadable(
            f"{source.name} cannot be read as {kind}: {told[:300]}",
            remedy="Look at the file, or fetch it as it is (raw).",
            path=source.name,
            format=kind,
        ) from exc


def _known(source: Source) -> None:
    if not source.kind:
        raise ValueError("its name ends in none of " + ", ".join(KINDS))


def schema_of(source: Source, enough: Enough) -> Found:
    """Columns, and for Parquet the number of rows. Of text as much is looked at as `enough` says.
    Raises `Unreadable`."""
    with _readable(source):
        _known(source)
        match source.kind:
            case "csv":
                schema, written = csvs.schema_of(source.name, _plain(source), enough)
                return Found(source.name, schema, loose=True, written=written)
            case "json":
                schema = jsons.schema_of(_plain(source), enough)
                return Found(source.name, schema, loose=True)
            case "parquet":
                parquet = pq.ParquetFile(source.file)
                schema = _distinct(parquet.schema_arrow)
                return Found(source.name, schema, rows=parquet.metadata.num_rows)
            case "orc":
                stripes = orc.ORCFile(source.file)
                return Found(source.name, _distinct(stripes.schema), rows=stripes.nrows)
            case "excel":
                schema, told = sheets.schema_of(source.file, enough)
                return Found(source.name, schema, loose=True, told=told)
        return Found(source.name, _distinct(_arrow_schema(source.file)))


def extents_of(source: Source) -> Mapping[str, Extent]:
    """What the footer tells of the columns; for Parquet only. Raises `Unreadable`."""
    with _readable(source):
        return footers.extents_of(source.file)


def _distinct(schema: pa.Schema) -> pa.Schema:
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise ValueError(f"it holds two columns named {twice[0]!r}")
    return schema.remove_metadata()


def batches(
    source: Source, schema: pa.Schema, columns: Sequence[str] = ()
) -> Generator[pa.RecordBatch, None, None]:
    """The rows, in the named columns of the whole table's schema. Raises `Unreadable`."""
    wanted = selected(schema, columns)
    with _readable(source):
        _known(source)
        for batch in _read(source, schema, wanted):
            yield fitted(batch, wanted)


def _read(source: Source, schema: pa.Schema, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    match source.kind:
        case "csv":
            return csvs.batches(source.name, _plain(source), schema, source.written)
        case "json":
            return jsons.batches(_plain(source), wanted)
        case "parquet":
            return _parquet(source, wanted)
        case "orc":
            return _orc(source.file, wanted)
        case "excel":
            return sheets.batches(source.file, wanted)
    return _arrow(source.file)


def pieces(source: Source) -> Generator[bytes, None, None]:
    """The bytes, unpacked where they are compressed. Raises `Unreadable`."""
    with _readable(replace(source, kind=source.packing)):
        content = _plain(source)()
        while piece := content.read(PIECE_BYTES):
            yield piece


def _plain(source: Source) -> Callable[[], io.RawIOBase]:
    """The file from its start, unpacked, as often as it is asked for."""

    def opened() -> io.RawIOBase:
        source.file.seek(0)
        return unpacked(source.packing, source.file)  # type: ignore[no-any-return]

    return opened


def _parquet(source: Source, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Row group by row group. One that is to be read whole and is not too large is fetched in few
    large ranges; of others each column is read little by little."""
    known = pq.ParquetFile(source.file)
    there = [name for name in wanted.names if name in known.schema_arrow.names]
    if not there:
        yield from _empty_rows(known.metadata.num_rows, wanted)
        return
    for number in range(known.num_row_groups):
        size = _group_bytes(known.metadata.row_group(number), there)
        little = source.sample or size > GROUP_BYTES
        group = pq.ParquetFile(
            source.file,
            metadata=known.metadata,
            pre_buffer=not little,
            buffer_size=COLUMN_BYTES if little else 0,
        )
        yield from group.iter_batches(BATCH_ROWS, [number], there, use_threads=False)


def _orc(file: io.RawIOBase, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Stripe by stripe."""
    known = orc.ORCFile(file)
    there = [name for name in wanted.names if name in known.schema.names]
    if not there:
        yield from _empty_rows(known.nrows, wanted)
        return
    for number in range(known.nstripes):
        yield known.read_stripe(number, columns=there)


def _group_bytes(group: pq.RowGroupMetaData, columns: Sequence[str]) -> int:
    chunks = [group.column(at) for at in range(group.num_columns)]
    return sum(
        chunk.total_compressed_size
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] in columns
    )


def _empty_rows(count: int, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Where none of the columns is there, only the rows count."""
    for start in range(0, count, BATCH_ROWS):
        rows = pa.nulls(min(BATCH_ROWS, count - start))
        yield fitted(pa.record_batch({"": rows}), wanted)


def _arrow_schema(file: io.RawIOBase) -> pa.Schema:
    if _is_arrow_file(file):
        return pa.ipc.open_file(file).schema
    return pa.ipc.open_stream(file).schema


def _arrow(file: io.RawIOBase) -> Iterator[pa.RecordBatch]:
    if _is_arrow_file(file):
        reader = pa.ipc.open_file(file)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(file)


def _is_arrow_file(file: io.RawIOBase) -> bool:
    file.seek(0)
    head = file.read(len(_ARROW_FILE))
    file.seek(0)
    return head == _ARROW_FILE
