"""Where a grant reaches.

A scope is a pattern over a whole path, compared exactly: case counts, nothing is folded or decoded,
so a path must be spelled as the source itself spells it.

    sales/            everything beneath the prefix, not the blob "sales"; the same as sales/**
    sales/2026-*.csv  * and ? stay inside one segment
    **/*.parquet      ** is any number of segments, also none
    public.*          every relation of a schema
    public.orders     that one

The path that is asked for may itself be a pattern ("shipments/*.parquet") or a prefix ("sales/"):
it is allowed when all that it can match lies inside one scope. A connector still checks each name
that a pattern gave, for it alone knows how it expands one.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from grants.claims import Grant
from grants.errors import BeyondGrant

MAX_SCOPES = 100
MAX_SCOPE_CHARS = 1024

_ANY_DEPTH = "**"
_MARKS = re.compile(r"[*?]")
# Classes and alternatives mean different things in different globs; ** inside a segment crosses it
# in some.
_OPEN_ENDED = re.compile(r"[\[{]|.\*\*|\*\*.")
# Azure reads a backslash as a slash, and several clients fold dot segments before they send.
_DECEITFUL = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)")


def allow(grant: Grant, operation: str, path: str | None = None) -> None:
    """Passes when the grant allows the operation there, else raises BeyondGrant.

    None = the operation alone, for a call that has no path or checks each name by itself. "" = the
    whole source.
    """
    if not permits(grant, operation, path):
        raise BeyondGrant(operation, path, _told(grant))


def permits(grant: Grant, operation: str, path: str | None = None) -> bool:
    """allow, as an answer; for filtering a listing."""
    if operation not in grant.operations:
        return False
    return path is None or not grant.scopes or inside(path, grant.scopes)


def inside(path: str, scopes: Iterable[str]) -> bool:
    """Whether everything that `path` can stand for lies in one of the scopes."""
    if _DECEITFUL.search(path):
        return False
    wanted = _request(path)
    return any(_segments_cover(_pattern(scope), wanted) for scope in scopes)


def reaches(grant: Grant, container: str) -> bool:
    """Whether something beneath a schema ("public") or prefix ("sales/") may lie in scope, so that
    it may be shown and descended into. Its entries are then filtered with `permits`."""
    if "list" not in grant.operations or _DECEITFUL.search(container):
        return False
    if not grant.scopes or not container:
        return True
    stem = container if container.endswith("/") else container + "."
    return any(_meets(scope, stem) for scope in grant.scopes)


def require_inside(grant: Grant, scopes: tuple[str, ...]) -> None:
    """Raises BeyondGrant for the first scope that is not inside the grant's own."""
    if not grant.scopes:
        return
    for scope in scopes:
        if not inside(scope, grant.scopes):
            raise BeyondGrant("reach", scope, _told(grant))


def problem_of(scope: str) -> str:
    """Why a scope may not stand in a grant, or ""."""
    if not scope or len(scope) > MAX_SCOPE_CHARS:
        return f"a scope has 1 to {MAX_SCOPE_CHARS} characters"
    if _DECEITFUL.search(scope):
        return "a scope holds no backslash, control character, or segment . or .."
    return ""


def _meets(scope: str, stem: str) -> bool:
    """Whether scope and stem agree as far as the scope's literal head goes."""
    mark = _MARKS.search(scope)
    head = scope[: mark.start()] if mark else scope
    open_ended = mark is not None or scope.endswith("/")
    return head.startswith(stem) or (open_ended and stem.startswith(head))


def _pattern(text: str) -> list[str]:
    """Segments; a prefix, or ** at the end, asks for at least one segment beneath."""
    segments = text.split("/")
    if segments[-1] in ("", _ANY_DEPTH):
        segments[-1:] = [_ANY_DEPTH, "*"]
    return segments


def _request(path: str) -> list[str]:
    """As _pattern, but widened to ** where a glob's meaning is not ours to know."""
    segments = path.split("/")
    for place, segment in enumerate(segments):
        if _OPEN_ENDED.search(segment):
            return [*segments[:place], _ANY_DEPTH, "*"]
    return _pattern(path)


def _segments_cover(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    return _covers(wide, narrow, many=_ANY_DEPTH, one=_segment_covers)


def _segment_covers(wide: str, narrow: str) -> bool:
    if narrow == _ANY_DEPTH:
        return False
    return _covers(wide, narrow, many="*", one=_character_covers)


def _character_covers(wide: str, narrow: str) -> bool:
    return narrow != "*" and wide in ("?", narrow)


def _covers(
    wide: Sequence[str], narrow: Sequence[str], *, many: str, one: Callable[[str, str], bool]
) -> bool:
    """Whether all that `narrow` matches, `wide` matches too; False also where that is only not
    provable.

    The usual wildcard walk, with the wildcards of `narrow` as symbols that only `many` of `wide`
    takes in.
    """
    at = back = 0
    star = -1
    for_ = len(wide)
    place = 0
    while place < len(narrow):
        if at < for_ and wide[at] == many:
            star, back, at = at, place, at + 1
        elif at < for_ and one(wide[at], narrow[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            back += 1
            at, place = star + 1, back
        else:
            return False
    return all(symbol == many for symbol in wide[at:])


def _told(grant: Grant) -> str:
    operations = ", ".join(sorted(grant.operations)) or "nothing"
    return f"{operations} in {', '.join(grant.scopes)}" if grant.scopes else operations
