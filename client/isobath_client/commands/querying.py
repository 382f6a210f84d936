"""`isobath query` and `isobath sources preview`: data of a source, to look at or to keep."""

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client import requests
from isobath_client.commands import completion
from isobath_client.commands.adding import SourceName
from isobath_client.commands.gallery import laid_out
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import AsJson, complain, console, examples, print_table
from isobath_client.forms import setting
from isobath_client.requests import Parameter
from isobath_client.rows import Cell, numeric, rows, value
from isobath_client.selections import selection
from isobath_client.sync.client import Isobath

SHOWN_ROWS = 100
EXAMPLES = examples(
    "isobath query sales 'SELECT region, sum(amount) FROM orders GROUP BY 1'",
    "isobath query sales 'SELECT * FROM orders WHERE region = $1' --param north --format json",
    "isobath query lake:2026/orders.csv -o orders.parquet",
)


class Format(StrEnum):
    """How data is written down."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    RAW = "raw"
    UNPACKED = "unpacked"


_ENDINGS = {".csv": Format.CSV, ".json": Format.JSON, ".jsonl": Format.JSON}
_ENDINGS |= {".parquet": Format.PARQUET, ".arrow": Format.ARROW}


def query(
    text: Annotated[
        str,
        typer.Argument(
            help="SOURCE:PATH, SOURCE=SELECT …, or a SOURCE with SQL behind it.",
            autocompletion=completion.selections,
        ),
    ],
    sql: Annotated[str, typer.Argument(help="One statement that reads.")] = "",
    param: Annotated[
        list[str] | None,
        typer.Option(help="A value for $1, $2 … in order: JSON where it is some, else text."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Else: by -o, a table on a terminal, csv for a pipe."),
    ] = None,
    version: Annotated[str, typer.Option(help="Of one blob, as browse told it.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Rows at most.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a table, a query's result or a blob."""
    chosen = _chosen(text, sql, param or ())
    chosen.version = version
    wanted = Format.JSON if as_json else format or _fitting(output)
    with connected() as client:
        if wanted is Format.TABLE:
            _show(client, chosen, limit)
            return
        _copy(client, chosen, wanted, limit, output)


def preview(
    source: SourceName,
    path: Annotated[str, typer.Argument(help="A relation, a blob, or a glob as one table.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="So many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The first rows of a relation, a blob, or a glob as one table."""
    chosen = messages.DataSelection(source=source, path=path)
    with connected() as client:
        if as_json:
            _copy(client, chosen, Format.JSON, rows, None, tell_cut=False)
        else:
            _show(client, chosen, rows, tell_cut=False)


def _chosen(text: str, sql: str, params: Iterable[str]) -> messages.DataSelection:
    chosen = messages.DataSelection(source=text) if sql else selection(text)
    bound = [_parameter(each) for each in params]
    if sql:
        chosen.query.CopyFrom(requests.query(sql, bound))
    elif chosen.HasField("query"):
        chosen.query.CopyFrom(requests.query(chosen.query.sql, bound))
    elif bound:
        raise typer.BadParameter("--param goes with a query")
    return chosen


def _parameter(text: str) -> Parameter:
    read = setting(text)
    return read if isinstance(read, bool | int | float | str | None) else text


def _fitting(output: Path | None) -> Format:
    if output is not None:
        return _ENDINGS.get(output.suffix, Format.CSV)
    return Format.TABLE if console.is_terminal else Format.CSV


class _Read:
    """CSV of a fetch, row by row; what stood beside it is known once it is read."""

    def __init__(self, events: Iterator[connector.FetchResponse]) -> None:
        self._events = events
        self.types: list[str] = []
        self.cut_by = ""

    def rows(self) -> Iterator[list[Cell]]:
        return rows(self._texts())

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for event in self._events:
            match event.WhichOneof("event"):
                case "header":
                    self.types = [column.arrow_type for column in event.header.columns]
                case "piece":
                    yield decoder.decode(event.piece)
                case "summary":
                    self.cut_by = cut_by(event.summary)

    def type_of(self, place: int) -> str:
        return self.types[place] if place < len(self.types) else ""


def cut_by(summary: connector.Summary) -> str:
    """What cut the data; empty = nothing did."""
    return (summary.truncated_by or "a limit") if summary.truncated else ""


def _show(
    client: Isobath, chosen: messages.DataSelection, limit: int | None, *, tell_cut: bool = True
) -> None:
    # one more than is shown says that there are more
    most = SHOWN_ROWS if limit is None else limit
    with closing(client.sources.fetch(chosen, format="csv", max_rows=most + 1)) as events:
        read = _Read(events)
        found = list(islice(read.rows(), most + 2))
    if not found:
        return
    more = len(found) > most + 1
    numbers = [numeric(read.type_of(place)) for place in range(len(found[0]))]
    print_table(laid_out(found[: most + 1], numbers=numbers))
    if more and tell_cut:
        told = f"{most:,} rows are shown and there are more: --limit N, or -o FILE for all."
        complain(told, "yellow")
    elif read.cut_by and not more:
        complain(f"! cut by {read.cut_by}", "yellow")


def _copy(
    client: Isobath,
    chosen: messages.DataSelection,
    format: Format,
    limit: int | None,
    output: Path | None,
    *,
    tell_cut: bool = True,
) -> None:
    wire = "csv" if format is Format.JSON else format.value
    with (
        closing(client.sources.fetch(chosen, format=wire, max_rows=limit)) as events,
        _sink(output) as write,
    ):
        cut = _as_json(events, write) if format is Format.JSON else _as_it_is(events, write)
    if cut and tell_cut:
        complain(f"! cut by {cut}", "yellow")


def _as_it_is(events: Iterator[connector.FetchResponse], write: Callable[[bytes], object]) -> str:
    cut = ""
    for event in events:
        if event.WhichOneof("event") == "piece":
            write(event.piece)
        cut = cut or cut_by(event.summary)
    return cut


def _as_json(events: Iterator[connector.FetchResponse], write: Callable[[bytes], object]) -> str:
    """An object a line."""
    read = _Read(events)
    names: list[str] = []
    for row in read.rows():
        if not names:
            names = [name or "" for name in row]
            continue
        told = {name: value(row[n], read.type_of(n)) for n, name in enumerate(names)}
        write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
    return read.cut_by


@contextmanager
def _sink(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where bytes go: stdout, or a file that is there whole or not at all."""
    if output is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file.write
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
