"""What the `isobath` command prints, and how it finds the gateway."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from isobath_client.settings import resolve
from isobath_client.sync.client import Isobath

console = Console()
PIPE_WIDTH = 1000  # columns of text

M = TypeVar("M", bound=Message)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each.")]


def connected() -> Isobath:
    where = resolve(os.environ)
    return Isobath(where.address, api_key=where.api_key)


def table_of(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        # an id is there to be copied
        table.add_column(column, overflow="fold", no_wrap=column in ("run", "id"))
    return table


def print_json(message: Message) -> None:
    console.print_json(json.dumps(MessageToDict(message, preserving_proto_field_name=True)))


def show(
    table: Table, found: Iterable[M], row: Callable[[M], tuple[str, ...]], *, as_json: bool
) -> None:
    """A list as a table, or each of it as a line of JSON as it comes."""
    for each in found:
        if as_json:
            json_line(each)
        else:
            table.add_row(*row(each))
    if not as_json:
        print_table(table)


def print_table(table: Table) -> None:
    """To a pipe without a width: what is cut into lines cannot be searched."""
    (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(table)


def json_line(message: Message) -> None:
    line = json.dumps(MessageToDict(message, preserving_proto_field_name=True))
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
