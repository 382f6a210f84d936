"""What the `isobath` command prints: tables for people, a line of JSON each for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console()
errors = Console(stderr=True)
PIPE_WIDTH = 1000  # columns of text

M = TypeVar("M", bound=Message)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each.")]


def examples(*commands: str) -> str:
    """The end of a command's help."""
    lines = (f"[bold]{escape(command)}[/]" for command in commands)
    return "\n\n".join(("Example:" if len(commands) == 1 else "Examples:", *lines))


def table_of(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        # an id is there to be copied
        table.add_column(column, overflow="fold", no_wrap=column in ("run", "id", "thread"))
    return table


def show(
    table: Table, found: Iterable[M], row: Callable[[M], tuple[str, ...]], *, as_json: bool
) -> None:
    """A list as a table, or each of it as a line of JSON as it comes. Texts of a row are no
    markup."""
    for each in found:
        if as_json:
            json_line(each)
        else:
            table.add_row(*map(escape, row(each)))
    if not as_json:
        print_table(table)


def print_table(table: Table) -> None:
    """To a pipe without lines and width: what is cut up cannot be searched."""
    if console.is_terminal:
        console.print(table)
        return
    table.box, table.pad_edge = None, False
    Console(width=PIPE_WIDTH).print(table)


def say(text: str, style: str = "") -> None:
    """A line, whole and as it is."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def complain(text: str, style: str = "bold red") -> None:
    """The same, where errors go."""
    errors.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def plain(message: Message) -> dict[str, Any]:
    """As JSON has it, by the names of the contract."""
    return MessageToDict(message, preserving_proto_field_name=True)


def json_line(told: Message | Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(plain(told) if isinstance(told, Message) else told) + "\n")
    sys.stdout.flush()


def print_json(message: Message) -> None:
    console.print_json(json.dumps(plain(message)))


def moment(at: Timestamp) -> str:
    """In UTC, to the minute."""
    return f"{at.ToDatetime():%Y-%m-%d %H:%M}"
