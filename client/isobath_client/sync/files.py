"""Files that users bring and that runs leave: `isobath.files`."""

from collections.abc import Iterator
from pathlib import Path

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1.analyst_pb2_grpc import FileServiceStub
from isobath_client.errors import translated
from isobath_client.sync.calls import Calls
from isobath_client.sync.writing import pieces, read, written


class Files:
    """Uploads and artifacts."""

    def __init__(self, stub: FileServiceStub, calls: Calls) -> None:
        self._stub, self._calls = stub, calls

    def upload(self, path: Path) -> messages.FileInfo:
        """Send a file; its `id` goes into `ask(files=…)`. Raises OSError where there is none."""
        with translated():
            response: messages.UploadFileResponse = self._stub.UploadFile(
                pieces(path), metadata=self._calls.metadata, timeout=self._calls.stream_timeout_s
            )
        return response.file

    def list(self) -> Iterator[messages.FileInfo]:
        """Uploads and artifacts, newest first."""
        reply = messages.ListFilesResponse
        pages = self._calls.pages(
            self._stub.ListFiles, messages.ListFilesRequest(), reply, lambda page: page.files
        )
        yield from pages

    def get(self, file_id: str) -> messages.FileInfo:
        """What is known of a file."""
        request, reply = messages.GetFileRequest(id=file_id), messages.GetFileResponse
        return (self._calls.one(self._stub.GetFile, request, reply, safe=True)).file

    def download(self, file_id: str, into: Path) -> Path:
        """Write a file to `into`, a folder or a path: whole or not at all."""
        request = messages.DownloadFileRequest(id=file_id)
        return written(self._calls.stream(self._stub.DownloadFile, request), into)

    def read(self, file_id: str) -> bytes:
        """A file's bytes."""
        request = messages.DownloadFileRequest(id=file_id)
        return read(self._calls.stream(self._stub.DownloadFile, request))

    def remove(self, file_id: str) -> None:
        """Delete a file."""
        request, reply = messages.DeleteFileRequest(id=file_id), messages.DeleteFileResponse
        self._calls.one(self._stub.DeleteFile, request, reply)
