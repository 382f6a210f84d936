"""Patterns over names of files. Pure.

A glob is over whole names: `*` and `?` stay within a folder, `**` crosses folders, `[abc]` and
`[!abc]` are sets, `{a,b}` alternatives. What all that fits must begin with is the prefix that the
source is asked for.

Alternatives are written out, and each is one regular expression whose parts between stars are
atomic (the leftmost place is always as good as a later one), so that no pattern can make matching
take more than length of name x length of pattern.
"""

import os.path
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_PATTERN_CHARS = 1024
MAX_ALTERNATIVES = 256
_MAGIC = re.compile(r"[*?\[{]")
_SET = re.compile(r"\[[!^]?\]?[^\]]*\]")
_STARS = re.compile(r"\*+")


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
    """Whether a path may stand for more than the file of that name."""
    return _MAGIC.search(path) is not None


def pattern(text: str) -> Pattern:
    """Compile a glob. Raises `BadPattern`."""
    if len(text) > MAX_PATTERN_CHARS:
        raise BadPattern(f"a pattern has {MAX_PATTERN_CHARS} characters at most")
    plain = [each for written in _alternatives(text) for each in _crossing(written)]
    if len(plain) > MAX_ALTERNATIVES:
        raise _too_many()
    prefix = os.path.commonprefix([_literal_head(each) for each in plain])  # noqa: RUF071  # characters are meant
    whole = "|".join(map(_regex, dict.fromkeys(plain)))
    return Pattern(text, prefix, re.compile(whole, re.DOTALL))


def _too_many() -> BadPattern:
    return BadPattern(f"it has more than {MAX_ALTERNATIVES} alternatives")


def _literal_head(text: str) -> str:
    found = _MAGIC.search(text)
    return text[: found.start()] if found else text


# Alternatives


def _alternatives(text: str) -> list[str]:
    """The texts that braces stand for."""
    found, at = [""], 0
    while at < len(text):
        if text[at] == "{":
            choices, at = _braces(text, at)
            found = [head + choice for head in found for choice in choices]
            if len(found) > MAX_ALTERNATIVES:
                raise _too_many()
        else:
            end = _element_end(text, at)
            found = [head + text[at:end] for head in found]
            at = end
    return found


def _braces(text: str, start: int) -> tuple[list[str], int]:
    """The choices of the braces that open at `start`, and where they end."""
    choices, begin, at, depth = [], start + 1, start + 1, 1
    while at < len(text):
        character = text[at]
        depth += (character == "{") - (character == "}")
        if depth == 0 or (depth == 1 and character == ","):
            choices += _alternatives(text[begin:at])
            begin = at + 1
        if depth == 0:
            return choices, at + 1
        at = _element_end(text, at)
    raise BadPattern("{ without }")


def _element_end(text: str, at: int) -> int:
    """Behind the set or the character at `at`."""
    if text[at] != "[":
        return at + 1
    found = _SET.match(text, at)
    if found is None:
        raise BadPattern("[ without ]")
    return found.end()


def _crossing(text: str) -> list[str]:
    """`a**b` within a segment crosses folders too: it is `a*b` or `a*/**/*b`."""
    head, *rest = text.split("/")
    found = _segment_readings(head)
    for segment in rest:
        written = _segment_readings(segment)
        found = [f"{before}/{each}" for before in found for each in written]
        if len(found) > MAX_ALTERNATIVES:
            raise _too_many()
    return found


def _segment_readings(segment: str) -> list[str]:
    found = next((each for each in _STARS.finditer(segment) if len(each[0]) > 1), None)
    if found is None or segment == "**":
        return [segment]
    head, tails = segment[: found.start()], _segment_readings(segment[found.end() :])
    if len(tails) > MAX_ALTERNATIVES:
        raise _too_many()
    return [f"{head}*{tail}" for tail in tails] + [f"{head}*/**/*{tail}" for tail in tails]


# Regular expressions


def _regex(text: str) -> str:
    """Runs of segments between the `**`; the first and the last stand at the ends of the name."""
    runs = list(_runs(text.split("/")))
    if len(runs) == 1:
        return "/".join(map(_segment, runs[0]))
    parts = ["".join(_segment(each) + "/" for each in runs[0])]
    for run in runs[1:-1]:
        if run:
            inside = "".join(_segment(each) + "/" for each in run)
            parts.append(f"(?>(?:[^/]*+/)*?{inside})")
    # what `**` ends is anything, but not nothing
    last = "/".join(map(_segment, runs[-1])) if runs[-1] else "[^/]++"
    parts.append(f"(?:[^/]*+/)*{last}")
    return "".join(parts)


def _runs(segments: Sequence[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for segment in segments:
        if segment == "**":
            yield run
            run = []
        else:
            run.append(segment)
    yield run


def _segment(segment: str) -> str:
    """One segment; it never matches a slash."""
    parts = [_fixed(each) for each in _between_stars(segment)]
    if len(parts) == 1:
        return parts[0]
    middle = "".join(f"(?>[^/]*?{part})" for part in parts[1:-1] if part)
    return f"{parts[0]}{middle}[^/]*{parts[-1]}"


def _between_stars(segment: str) -> list[str]:
    """The texts between the stars, stars within sets left where they are."""
    parts, at = [""], 0
    while at < len(segment):
        end = _element_end(segment, at)
        if segment[at] == "*":
            parts.append("")
        else:
            parts[-1] += segment[at:end]
        at = end
    return parts


def _fixed(text: str) -> str:
    """Characters, `?` and sets: as many characters as elements."""
    parts, at = [], 0
    while at < len(text):
        end = _element_end(text, at)
        element = text[at:end]
        if element == "?":
            parts.append("[^/]")
        else:
            parts.append(_set(element) if end > at + 1 else re.escape(element))
        at = end
    return "".join(parts)


def _set(element: str) -> str:
    """`[…]`; a `]` right after the opening stands for itself."""
    inner, negated = element[1:-1], ""
    if inner[:1] in ("!", "^"):
        inner, negated = inner[1:], "^/"
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner)
    try:
        re.compile(f"[{negated}{escaped}]")
    except re.error as bad:
        raise BadPattern(f"{element} is no set: {bad}") from bad
    return f"(?!/)[{negated}{escaped}]"


# Names


def folder_of(prefix: str) -> str:
    """A prefix as a folder: empty, or ending in "/"."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def name_of(path: str) -> str:
    """The last part of a path; of a folder, its own name."""
    return path.rstrip("/").rsplit("/", 1)[-1]
