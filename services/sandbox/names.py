"""Names of files in a workspace: pure.

`checked` refuses what cannot stand there; `tamed` makes of any name a source may use (Azure allows
"..", control characters, 1,024 characters) one that can."""

import hashlib
import unicodedata
from pathlib import PurePosixPath

from services.sandbox.errors import UnsafePath

# Linux: 255 bytes for one name; what is added to it while it is written needs room
_PART_BYTES = 200
_DEPTH = 16
_PATH_BYTES = 1024
# files of ours, while they are written
RESERVED = ".isobath-"


def checked(path: str) -> tuple[str, ...]:
    """The parts of a relative path, as they are. Raises UnsafePath."""
    why = _flaw(path)
    if why:
        raise UnsafePath(path, why)
    return tuple(path.split("/"))


def _flaw(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/"):
        return "it is empty or absolute"
    if len(parts) > _DEPTH or len(path.encode(errors="replace")) > _PATH_BYTES:
        return "it is too long or too deep"
    if any(part in ("", ".", "..") for part in parts):
        return "it has empty parts, '.' or '..'"
    if any(not _printable(char) for char in path):
        return "it has control characters"
    if any(part.startswith(RESERVED) for part in parts):
        return f"names that begin with {RESERVED!r} are taken"
    if any(len(part.encode()) > _PART_BYTES for part in parts):
        return f"a part is longer than {_PART_BYTES} bytes"
    return ""


def _printable(char: str) -> bool:
    """Without control and unassigned characters, lone surrogates, and those that turn the
    direction of writing."""
    return unicodedata.category(char) not in ("Cc", "Cs", "Cn", "Cf", "Zl", "Zp")


def tamed(name: str) -> str:
    """A path that `checked` takes, the same for the same name; readable where the name was."""
    parts = [_tame_part(part) for part in name.split("/") if part not in ("", ".")]
    if len(parts) > _DEPTH:
        parts = [*parts[: _DEPTH - 2], _digest("/".join(parts)), parts[-1]]
    path = "/".join(parts) or "unnamed"
    if len(path.encode()) > _PATH_BYTES:
        path = f"{_digest(path)}/{parts[-1]}"
    return path


def _tame_part(part: str) -> str:
    if part == "..":
        return "__"
    clean = "".join(char if _printable(char) else "_" for char in part)
    if clean.startswith(RESERVED):
        clean = f"_{clean}"
    if len(clean.encode()) <= _PART_BYTES:
        return clean
    suffix = PurePosixPath(clean).suffix
    suffix = suffix if len(suffix.encode()) <= 20 else ""
    head = clean.encode()[: _PART_BYTES - 20 - len(suffix.encode())].decode(errors="ignore")
    return f"{head}-{_digest(part)}{suffix}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def with_suffix(path: str, suffix: str) -> str:
    """The path with that ending, which it may have already."""
    return path if not suffix or path.lower().endswith(suffix) else f"{path}{suffix}"


def numbered(path: str, number: int) -> str:
    """For the second and further of the same name: "a/b.csv" -> "a/b-2.csv"."""
    whole = PurePosixPath(path)
    return str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}"))
