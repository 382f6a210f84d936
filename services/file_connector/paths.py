"""Names of files beneath a source's folder. Pure.

A name is relative: parts joined by "/", each a name of its folder. Whatever could lead out of the
folder, or mean another file to another reader, names no file at all: it is refused before the
system is asked, and left out of lists.
"""

import re
from collections.abc import Mapping
from typing import Any

MAX_NAME_CHARS = 1024
# path_resolution(7), limits.h: NAME_MAX
MAX_PART_BYTES = 255
MAX_PARTS = 64
# files that are being written; a listing never shows them
TEMPORARY = ".isobath-"
# as grants.scope has it: other readers take a backslash for a slash
_DECEITFUL = re.compile(r"[\x00-\x1f\x7f\\]")
_ROOT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})=(/.*)")
# what lies there is no data: a process's environment is a regular file in /proc, and secrets are
# mounted in /run
_NO_DATA = ("proc", "sys", "dev", "run")


class BadName(ValueError):
    """A name that no file can have here; the text says why."""


def parts_of(name: str, *, hidden: bool = False) -> tuple[str, ...]:
    """The parts of a file's name. `hidden`: those that begin with a dot may be meant. Raises
    `BadName`."""
    if not name or name.endswith("/"):
        raise BadName("it must name one file")
    return _parts(name, hidden=hidden)


def folder_parts(path: str, *, hidden: bool = False) -> tuple[str, ...]:
    """The parts of a folder's name, with or without "/" at its end; "" is the top. Raises
    `BadName`."""
    name = path.removesuffix("/")
    if not name and path:
        raise BadName("it begins with /, and names here are relative to the source's folder")
    return _parts(name, hidden=hidden) if name else ()


def _parts(name: str, *, hidden: bool) -> tuple[str, ...]:
    if len(name) > MAX_NAME_CHARS:
        raise BadName(f"it has more than {MAX_NAME_CHARS} characters")
    if name.startswith("/"):
        raise BadName("it begins with /, and names here are relative to the source's folder")
    parts = tuple(name.split("/"))
    if len(parts) > MAX_PARTS:
        raise BadName(f"it has more than {MAX_PARTS} parts")
    for part in parts:
        if problem := _problem(part, hidden=hidden):
            raise BadName(problem)
    return parts


def is_shown(part: str, *, hidden: bool = False) -> bool:
    """Whether an entry of a folder can be told, and be asked for by what it is called."""
    return not _problem(part, hidden=hidden)


def _problem(part: str, *, hidden: bool) -> str:
    if part in ("", ".", ".."):
        return "it holds an empty part, . or .."
    if _DECEITFUL.search(part):
        return "it holds a backslash or a control character"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        # as the system gives bytes that are no UTF-8
        return "it is not UTF-8"
    if size > MAX_PART_BYTES:
        return f"a part has more than {MAX_PART_BYTES} bytes"
    if part.startswith(TEMPORARY):
        return f"names that begin with {TEMPORARY} are taken"
    if part.startswith(".") and not hidden:
        return "it is hidden: a part begins with a dot"
    return ""


# Roots


def roots_of(settings: tuple[str, ...]) -> Mapping[str, str]:
    """NAME=/PATH of the operator, by name. Raises ValueError, which shows no path."""
    found: dict[str, str] = {}
    for each in settings:
        written = _ROOT.fullmatch(each)
        if written is None:
            raise ValueError("ROOTS expects NAME=/PATH, such as reports=/srv/reports")
        name, path = written[1], "/" + written[2].strip("/")
        if name in found:
            raise ValueError(f"ROOTS names {name} twice")
        parts = path.split("/")[1:]
        if any(part in ("", ".", "..") for part in parts) or parts[0] in _NO_DATA:
            raise ValueError(
                f"ROOTS: {name} must be a folder of data, without . or .. in its path, and neither "
                "/ nor beneath /proc, /sys, /dev or /run"
            )
        found[name] = path
    return found


def place_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Root and folder of a source's settings, as they are written; "" for what is left out."""
    root, folder = config.get("root", ""), config.get("folder", "")
    if not isinstance(root, str) or not isinstance(folder, str):
        raise BadName("root and folder are texts")
    return root, folder
