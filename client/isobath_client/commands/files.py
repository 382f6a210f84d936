"""`isobath files`."""

from pathlib import Path
from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands import completion
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import AsJson, examples, json_line, say, show, table_of

files = typer.Typer(no_args_is_help=True, help="Files: upload, list, download, remove.")
FileId = Annotated[str, typer.Argument(help="The file's id.", autocompletion=completion.file_ids)]


@files.command("upload", epilog=examples("isobath files upload notes.csv"))
def upload(
    path: Annotated[list[Path], typer.Argument(help="Files of this machine.")],
    as_json: AsJson = False,
) -> None:
    """Send files, to ask about them later."""
    with connected() as client:
        for each in path:
            info = client.files.upload(each)
            if as_json:
                json_line(info)
            else:
                say(f"{info.id} {info.name} {info.size_bytes:,} bytes")


@files.command("list", epilog=examples("isobath files list --json"))
def list_files(as_json: AsJson = False) -> None:
    """Uploads and artifacts, newest first."""

    def row(info: messages.FileInfo) -> tuple[str, ...]:
        return info.id, info.name, f"{info.size_bytes:,}", info.purpose, info.run_id

    with connected() as client:
        table = table_of("Files", "id", "name", "bytes", "purpose", "of run")
        show(table, client.files.list(), row, as_json=as_json)


@files.command("download", epilog=examples("isobath files download file-… report.md"))
def download(
    file_id: FileId,
    into: Annotated[Path, typer.Argument(help="A folder, or a file.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Save a file or artifact."""
    with connected() as client:
        saved = client.files.download(file_id, into)
    if as_json:
        json_line({"id": file_id, "path": str(saved)})
    else:
        say(str(saved))


@files.command("remove", epilog=examples("isobath files remove file-…"))
def remove(
    file_id: Annotated[
        list[str], typer.Argument(help="Ids of files.", autocompletion=completion.file_ids)
    ],
    as_json: AsJson = False,
) -> None:
    """Delete files."""
    with connected() as client:
        for each in file_id:
            client.files.remove(each)
            if as_json:
                json_line({"id": each, "removed": True})
            else:
                say(f"{each} is gone.")
