"""The model's tags, parsed as they stream: sans-IO, text in, events out.

A turn is a sequence of blocks, `<Analyze>…</Analyze>` and so on (see `TAGS`). Text goes out as
early as it can: only what may yet turn out to be a tag, or a code span, is held back. What comes
out does not depend on how the text was cut: `"".join(event.source for event in events)` is always
the text that went in.

Tags inside back-ticks or fences are text. In `<Analyze>` and `<Understand>` another opening tag
ends the block, because models forget to; in `<Code>` and `<Answer>` only the closing tag does.
A `</Code>` that is the last thing a turn holds ends the program, even in a fence left open: it is
where generation stops.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ANALYZE, UNDERSTAND, CODE, EXECUTE, FILE, ANSWER = TAGS = (
    "Analyze",
    "Understand",
    "Code",
    "Execute",
    "File",
    "Answer",
)
OUTSIDE = ""
# blocks that another opening tag ends
_LOOSE = frozenset({OUTSIDE, ANALYZE, UNDERSTAND})
# a code span longer than this is taken for a stray back-tick, so that little is held back
_SPAN_CHARS = 1000
_SPECIAL = re.compile(r"[<`\n]")


@dataclass(frozen=True)
class Opened:
    """A block began. `source` is the text it was read from, as in all events."""

    kind: str
    source: str


@dataclass(frozen=True)
class Text:
    """Text of a block; of none where `kind` is `OUTSIDE`."""

    kind: str
    source: str


@dataclass(frozen=True)
class Closed:
    """A block ended; `source` is empty where its closing tag is missing."""

    kind: str
    source: str


Event = Opened | Text | Closed


class TagParser:
    """Feed text, take events; call `finish` when the turn is over."""

    def __init__(self) -> None:
        self._block = OUTSIDE
        self._pending = ""
        self._line_start = True
        self._fence = 0

    @property
    def block(self) -> str:
        """The block that is open, or `OUTSIDE`."""
        return self._block

    def feed(self, text: str) -> list[Event]:
        """Events that `text` completes."""
        self._pending += text
        return list(_merged(self._drain(final=False)))

    def finish(self) -> list[Event]:
        """What was held back; a block that is still open is closed."""
        events = list(_merged(self._drain(final=True)))
        if self._block != OUTSIDE:
            events.append(self._close(""))
        return events

    def _drain(self, *, final: bool) -> Iterator[Event]:
        while self._pending:
            events = self._step(final)
            if events is None:
                return
            yield from events

    def _step(self, final: bool) -> list[Event] | None:
        """Consume something of what is pending; None = more text is needed to decide."""
        found = _SPECIAL.search(self._pending)
        if found is None:
            return [self._take(len(self._pending))]
        if found.start() > 0:
            return [self._take(found.start())]
        if found[0] == "\n":
            return [self._take(1)]
        return self._backticks(final) if found[0] == "`" else self._angle(final)

    def _take(self, count: int) -> Text:
        text, self._pending = self._pending[:count], self._pending[count:]
        last_line = text.rpartition("\n")[2]
        fresh = self._line_start or last_line != text
        self._line_start = fresh and not last_line.strip(" \t")
        return Text(self._block, text)

    # Back-ticks

    def _backticks(self, final: bool) -> list[Event] | None:
        run = len(self._pending) - len(self._pending.lstrip("`"))
        rest = self._pending[run:]
        if not rest and not final:
            return None
        if self._fence:
            return self._fence_end(run, rest, final)
        if run >= 3 and self._line_start:
            self._fence = run
            return [self._take(run)]
        return self._span(run, rest, final)

    def _fence_end(self, run: int, rest: str, final: bool) -> list[Event] | None:
        if not self._line_start or run < self._fence:
            return [self._take(run)]
        after = rest.lstrip(" \t")
        if not after and not final:
            return None
        if not after or after[0] in "\r\n<":
            self._fence = 0
        return [self._take(run)]

    def _span(self, run: int, rest: str, final: bool) -> list[Event] | None:
        line, newline, _ = rest[:_SPAN_CHARS].partition("\n")
        end = re.search(rf"(?<!`)`{{{run}}}(?!`)", line)
        decided = newline or final or len(rest) > _SPAN_CHARS
        if end and (end.end() < len(line) or decided):
            return [self._take(run + end.end())]
        return [self._take(run)] if decided else None

    # Tags

    def _angle(self, final: bool) -> list[Event] | None:
        if self._fence:
            return self._angle_in_fence(final)
        for tag in self._expected():
            if self._pending.startswith(tag):
                return self._tag(tag)
        if not final and any(tag.startswith(self._pending) for tag in self._expected()):
            return None
        return [self._take(1)]

    def _angle_in_fence(self, final: bool) -> list[Event] | None:
        tag = f"</{CODE}>"
        if self._block != CODE or not (
            self._pending.startswith(tag) or tag.startswith(self._pending)
        ):
            return [self._take(1)]
        if not final:
            return None if not self._pending[len(tag) :].strip() else [self._take(1)]
        if self._pending.startswith(tag) and not self._pending[len(tag) :].strip():
            return self._tag(tag)
        return [self._take(1)]

    def _expected(self) -> list[str]:
        closing = [] if self._block == OUTSIDE else [f"</{self._block}>"]
        opening = [f"<{tag}>" for tag in TAGS] if self._block in _LOOSE else []
        return closing + opening

    def _tag(self, tag: str) -> list[Event]:
        self._pending = self._pending[len(tag) :]
        if tag.startswith("</"):
            return [self._close(tag)]
        events: list[Event] = [] if self._block == OUTSIDE else [self._close("")]
        self._block, self._fence, self._line_start = tag[1:-1], 0, True
        return [*events, Opened(self._block, tag)]

    def _close(self, source: str) -> Closed:
        closed = Closed(self._block, source)
        self._block, self._fence, self._line_start = OUTSIDE, 0, True
        return closed


def _merged(events: Iterable[Event]) -> Iterator[Event]:
    """Neighbouring texts of one block as one."""
    held: Text | None = None
    for event in events:
        if isinstance(event, Text) and held is not None and held.kind == event.kind:
            held = Text(held.kind, held.source + event.source)
            continue
        if held is not None:
            yield held
        held = event if isinstance(event, Text) else None
        if held is None:
            yield event
    if held is not None:
        yield held


def parse(text: str) -> list[Event]:
    """A whole turn at once."""
    parser = TagParser()
    return list(_merged([*parser.feed(text), *parser.finish()]))


_FENCED = re.compile(
    r"\A\s*(?P<fence>`{3,})[^\n]*\n(?P<body>.*?)(?:\n[ \t]*(?P=fence)`*\s*)?\Z", re.S
)


def program(code: str) -> str:
    """The Python of a `<Code>` block: what stands in its fence, or all of it."""
    fenced = _FENCED.match(code)
    return fenced["body"] + "\n" if fenced else code
