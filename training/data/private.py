"""Files and folders that only their owner may read: runs hold what people asked of their data."""

import os
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def create(path: Path) -> BinaryIO:
    """A new file to write and to read. Raises FileExistsError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "w+b")


def write(path: Path, text: str) -> None:
    """A new file with this text. Raises FileExistsError."""
    with create(path) as file:
        file.write(text.encode())


def folder(path: Path) -> Path:
    """A new folder, and those above it."""
    path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    return path
