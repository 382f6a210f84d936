"""Lines that show whether they were touched: each carries the SHA-256 of itself and of the one
before it, so that a line that is changed, missing or moved breaks the chain there.

A chain alone cannot tell that its end was cut off, or that all of it was made anew: for that its
head is kept elsewhere and compared.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """The last line of a chain."""

    number: int = 0
    digest: str = "0" * 64

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


class ChainBroken(Exception):
    """`number` is that of the first line which does not follow from the one before."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"record {number}: {problem}")
        self.number = number


def linked(head: Head, record: Mapping[str, Any]) -> tuple[str, Head]:
    """The record as the line after `head`, and the head after it."""
    body = {"number": head.number + 1, **record, "previous": head.digest}
    digest = _digest(body)
    return json.dumps({**body, "digest": digest}), Head(head.number + 1, digest)


def followed(lines: Iterable[str], head: Head = Head()) -> Head:
    """The head at the end of lines that begin after `head`. Raises ChainBroken."""
    for line in lines:
        if line.strip():
            head = _next(head, line)
    return head


def parse_head(text: str) -> Head:
    """What str(head) gave. Raises ValueError."""
    number, _, digest = text.strip().partition(":")
    if len(digest) != 64 or int(number) < 0:
        raise ValueError("a head is the number and the SHA-256 of the last record, as 12:ab34…")
    return Head(int(number), digest)


def _next(head: Head, line: str) -> Head:
    number = head.number + 1
    try:
        body = dict(json.loads(line))
        digest, found = body.pop("digest"), body["number"]
    except (KeyError, TypeError, ValueError) as exc:
        raise ChainBroken(number, "it cannot be read") from exc
    if found != number:
        raise ChainBroken(number, f"it is missing: the next one is {found}")
    if body.get("previous") != head.digest:
        raise ChainBroken(number, "it does not follow from the one before")
    if _digest(body) != digest:
        raise ChainBroken(number, "it was changed")
    return Head(number, digest)


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
