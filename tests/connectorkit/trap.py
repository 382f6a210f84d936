"""What statements must not reach: a secret, a folder, a server. For the layers alone, and for each
connector of files."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SECRET = "planted-7c1f"
REFUSED = {
    "QUERY_NOT_READ_ONLY",
    "QUERY_FAILED",
    "PATH_NOT_FOUND",
    "INVALID_FIELD",
    "BEYOND_GRANT",
}


@dataclass(frozen=True)
class Trap:
    """A secret outside, a file that must not come to be, a server that must not be asked."""

    folder: Path
    server: socket.socket

    def spring(self, sql: str) -> str:
        return sql.format(
            file=self.folder / "secret.csv",
            folder=self.folder,
            out=self.folder / "out" / "x",
            url=f"http://127.0.0.1:{self.server.getsockname()[1]}",
        )

    def sprung(self, answer: str) -> str:
        """What came of it; "" = nothing."""
        if SECRET in answer:
            return "the secret was read"
        if os.listdir(self.folder / "out") or set(os.listdir(self.folder)) != {"secret.csv", "out"}:
            return "something was written"
        with suppress(BlockingIOError):
            self.server.accept()[0].close()
            return "the server was asked"
        return ""


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    folder = tmp_path / "trap"
    (folder / "out").mkdir(parents=True)
    (folder / "secret.csv").write_text(f"a\n{SECRET}\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield Trap(folder, server)
