"""Names of blobs. Pure."""

import re

from connectorkit.files.patterns import is_pattern

MAX_NAME_CHARS = 1024
# Naming and Referencing Containers, Blobs, and Metadata (Microsoft Learn): 254 segments at most
MAX_SEGMENTS = 254
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_deceitful(name: str) -> bool:
    """Whether a name may reach another blob than the one that it spells.

    HTTP clients fold dot segments before they send, and Azure reads a backslash as a slash: either
    could lead out of a source's prefix.
    """
    return "\\" in name or any(part in (".", "..") for part in name.split("/"))


def problem_of(name: str) -> str:
    """Why a blob may not be written under this name, or ""."""
    if not name or name.endswith("/"):
        return "it must name one blob"
    if len(name) > MAX_NAME_CHARS:
        return f"it has more than {MAX_NAME_CHARS} characters"
    if name.count("/") >= MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS} folders"
    if is_deceitful(name):
        return "it holds a backslash, or . or .. as a folder"
    if _CONTROL.search(name):
        return "it holds a control character"
    return "it holds *, ?, [ or {, which stand for patterns" if is_pattern(name) else ""
