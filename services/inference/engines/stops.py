"""Where a text ends: stop strings found in a stream, and the code block a server cut off."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.inference.models import CODE_END

_OPENING = re.compile(r"<(Analyze|Understand|Code|Execute|File|Answer)>")


@dataclass(frozen=True, slots=True)
class Found:
    """What may be given out now; `matched` names the stop after which nothing follows."""

    text: str
    matched: str = ""
    # more than blanks came after the stop in the same piece
    overrun: bool = False


class StopFinder:
    """Looks for stops in a text that arrives in pieces; holds back no more than what may be the
    beginning of one. `</Code>` stays in the text, other stops do not."""

    def __init__(self, stops: Iterable[str], *, after_code: bool) -> None:
        kept = (CODE_END,) if after_code else ()
        self._stops = (*kept, *(stop for stop in stops if stop and stop not in kept))
        self._held = ""

    @property
    def stops(self) -> tuple[str, ...]:
        return self._stops

    def feed(self, piece: str) -> Found:
        text = self._held + piece
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found, key=lambda each: each[0])
            self._held = ""
            kept = CODE_END if stop == CODE_END else ""
            return Found(text[:at] + kept, stop, bool(text[at + len(stop) :].strip()))
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return Found(text[: len(text) - keep])

    def rest(self) -> str:
        """What was held back and turned out to be no stop."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest beginning of `stop` that `text` ends with."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


def open_tag(text: str) -> str:
    """The block that the text leaves open, "Code" say; empty where all are closed.

    Tags inside a block are its content: an answer that speaks of `<Code>` opens none."""
    at = 0
    while opening := _OPENING.search(text, at):
        tag = opening[1]
        closing = text.find(f"</{tag}>", opening.end())
        if closing < 0:
            return tag
        at = closing
    return ""
