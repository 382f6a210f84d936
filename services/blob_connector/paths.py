"""Names and patterns of blobs. Pure.

A glob is over whole names: `*` and `?` stay within a folder, `**` crosses folders, `[abc]` and
`[!abc]` are sets, `{a,b}` alternatives. What stands before the first of these is the prefix that
the service is asked for.
"""

import re
from dataclasses import dataclass

MAX_NAME_CHARS = 1024
_MAGIC = re.compile(r"[*?\[{]")


class BadPattern(ValueError):
    """A pattern that cannot be read; the text says why."""


@dataclass(frozen=True)
class Pattern:
    """A compiled glob: `prefix` narrows the listing, `matches` decides."""

    text: str
    prefix: str
    _regex: re.Pattern[str]

    def matches(self, name: str) -> bool:
        """Whether the whole name fits."""
        return self._regex.fullmatch(name) is not None


def is_pattern(path: str) -> bool:
    """Whether a path stands for more than the blob of that name."""
    return _MAGIC.search(path) is not None


def pattern(text: str) -> Pattern:
    """Compile a glob. Raises `BadPattern`."""
    if len(text) > MAX_NAME_CHARS:
        raise BadPattern(f"a pattern has {MAX_NAME_CHARS} characters at most")
    found = _MAGIC.search(text)
    prefix = text[: found.start()] if found else text
    return Pattern(text, prefix, re.compile(_translated(text), re.DOTALL))


def _translated(text: str) -> str:
    parts: list[str] = []
    at, depth = 0, 0
    while at < len(text):
        part, at, depth = _token(text, at, depth)
        parts.append(part)
    if depth:
        raise BadPattern("{ without }")
    return "".join(parts)


def _token(text: str, at: int, depth: int) -> tuple[str, int, int]:
    """One element as a regular expression, where the next begins, and how deep in braces."""
    character = text[at]
    if text.startswith("**/", at):
        return "(?:.*/)?", at + 3, depth
    if text.startswith("**", at):
        return ".*", at + 2, depth
    if character == "*":
        return "[^/]*", at + 1, depth
    if character == "?":
        return "[^/]", at + 1, depth
    if character == "[":
        part, end = _set(text, at)
        return part, end, depth
    if character == "{":
        return "(?:", at + 1, depth + 1
    if character == "}" and depth:
        return ")", at + 1, depth - 1
    if character == "," and depth:
        return "|", at + 1, depth
    return re.escape(character), at + 1, depth


def _set(text: str, at: int) -> tuple[str, int]:
    """`[…]`; a `]` right after the opening stands for itself."""
    start = at + 2 if text[at + 1 : at + 2] in ("!", "^") else at + 1
    end = text.find("]", start + 1)
    if end < 0:
        raise BadPattern("[ without ]")
    # only a range between letters or digits keeps its dash
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", text[start:end])
    negated = "^/" if start == at + 2 else ""
    try:
        re.compile(f"[{negated}{inner}]")
    except re.error as bad:
        raise BadPattern(f"[{text[start:end]}] is no set: {bad}") from bad
    return f"(?!/)[{negated}{inner}]", end + 1


def is_deceitful(name: str) -> bool:
    """Whether a name may reach another blob than the one that it spells.

    HTTP clients fold dot segments before they send, and Azure reads a backslash as a slash: either
    could lead out of a source's prefix.
    """
    return "\\" in name or any(part in (".", "..") for part in name.split("/"))


def folder_of(prefix: str) -> str:
    """A prefix as a folder: empty, or ending in "/"."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def name_of(path: str) -> str:
    """The last part of a path; of a folder, its own name."""
    return path.rstrip("/").rsplit("/", 1)[-1]
