"""What a file is compressed with, by its name's ending or by how it was stored."""

import io
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

ENDINGS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "br": "brotli"}


def packing_of(name: str, encoding: str = "") -> str:
    """As Arrow calls it; "" = it is not compressed. What ends in .gz and was stored with the
    encoding gzip was compressed once: tools set both."""
    suffix = PurePosixPath(name.lower()).suffix
    return ENDINGS.get(suffix) or _ENCODINGS.get(encoding.strip().lower(), "")


def without_packing(name: str) -> str:
    """The name of what is within."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in ENDINGS else name


def unpacked(packing: str, file: io.RawIOBase) -> Any:
    """What is within, as a file that is read from start to end. Reading raises OSError where it is
    torn."""
    return pa.CompressedInputStream(file, packing) if packing else file
