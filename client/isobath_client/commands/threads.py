"""`isobath threads`."""

from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands import completion
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import (
    AsJson,
    console,
    examples,
    json_line,
    moment,
    say,
    show,
    table_of,
)

threads = typer.Typer(no_args_is_help=True, help="Threads: list, read, remove.")
ThreadId = Annotated[
    str, typer.Argument(help="The thread's id.", autocompletion=completion.thread_ids)
]


@threads.command("list", epilog=examples("isobath threads list"))
def list_threads(as_json: AsJson = False) -> None:
    """Threads, newest first."""

    def row(thread: messages.Thread) -> tuple[str, ...]:
        return thread.thread_id, thread.title, moment(thread.created_at), moment(thread.expires_at)

    with connected() as client:
        table = table_of("Threads", "thread", "title", "begun", "kept until")
        show(table, client.threads.list(), row, as_json=as_json)


@threads.command("show", epilog=examples("isobath threads show thread-…"))
def show_thread(thread: ThreadId, as_json: AsJson = False) -> None:
    """What was said in a thread, and the files that it left."""
    with connected() as client:
        found = client.threads.get(thread)
    if as_json:
        json_line(found)
        return
    for message in found.messages:
        console.rule(message.role)
        say(message.content)
    for info in found.files:
        say(f"{info.id} {info.name} {info.size_bytes:,} bytes")


@threads.command("remove", epilog=examples("isobath threads remove thread-…"))
def remove_thread(thread: ThreadId, as_json: AsJson = False) -> None:
    """Delete a thread with its workspace, its runs and their files."""
    with connected() as client:
        client.threads.remove(thread)
    if as_json:
        json_line({"thread_id": thread, "removed": True})
    else:
        say(f"{thread} is gone.")
