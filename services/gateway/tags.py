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
from collections.abc import Iterator
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
    """`feed` text as it comes, then `finish`. Both give the events that are certain by then."""

    def __init__(self, tags: tuple[Tag, ...] = ALL_TAGS) -> None:
        self._openings = {tag.opening: tag for tag in tags}
        self._block: Tag | None = None
        self._rest = ""
        self._ended = False
        self._guard = _Guard()

    @property
    def block(self) -> Tag | None:
        """The block that is open."""
        return self._block

    def feed(self, text: str) -> list[TagEvent]:
        assert not self._ended, "fed after finish"
        self._rest += text
        return _joined(self._read())

    def finish(self) -> list[TagEvent]:
        """Decides what was held back, and closes the block that is still open."""
        self._ended = True
        return _joined(self._end())

    def _end(self) -> Iterator[TagEvent]:
        yield from self._read()
        rest, self._rest = self._rest, ""
        # "</Co": the closing tag was being written when the text was cut
        cut = rest if len(rest) > 1 else ""
        if rest and not cut:
            yield Text(self._block, rest)
        if self._block is not None:
            yield Closed(self._block, cut)
            self._block = None

    def _read(self) -> Iterator[TagEvent]:
        text, self._rest = self._rest, ""
        at = 0  # up to here everything is decided
        while at < len(text):
            if text[at] != "<":
                end = self._mark(text, at)
                yield Text(self._block, text[at:end])
            else:
                events, end = self._decide(text, at)
                if end == at:
                    self._rest = text[at:]
                    return
                yield from events
            at = end

    def _mark(self, text: str, at: int) -> int:
        """Anything but "<" is text, of which the guard takes note."""
        if text[at] == "\n":
            self._guard.newline()
            return at + 1
        if ticks := _TICKS.match(text, at):
            self._guard.ticks(ticks.end() - at)
            return ticks.end()
        found = _POINT.search(text, at)
        end = found.start() if found else len(text)
        self._guard.plain(text[at:end])
        return end

    def _decide(self, text: str, at: int) -> tuple[list[TagEvent], int]:
        """What this "<" begins, and where to go on: at the same place while that is open."""
        self._guard.angle()
        tag = self._tag_at(text, at)
        if tag is None:
            return ([], at) if self._may_be_cut(text[at:]) else self._plain(text, at, at + 1)
        if not self._guard.active:
            return self._structure(tag, at)
        end = self._guard.end(text, at + len(tag), ended=self._ended)
        if end is None:
            late = len(text) - at > _HELD_CHARACTERS
            return self._plain(text, at, at + len(tag)) if late else ([], at)
        self._guard.lift()
        return self._plain(text, at, end) if end else self._structure(tag, at)

    def _plain(self, text: str, at: int, end: int) -> tuple[list[TagEvent], int]:
        last = text.rfind("\n", at, end)
        if last >= 0:
            self._guard.newline()
        self._guard.plain(text[max(at, last + 1) : end])
        return [Text(self._block, text[at:end])], end

    def _structure(self, tag: str, at: int) -> tuple[list[TagEvent], int]:
        events: list[TagEvent] = []
        if self._block is not None:
            events.append(Closed(self._block, tag if tag == self._block.closing else ""))
        self._block = self._openings.get(tag)
        if self._block is not None:
            events.append(Opened(self._block))
        self._guard = _Guard()
        return events, at + len(tag)

    def _tag_at(self, text: str, at: int) -> str | None:
        return next((tag for tag in self._possible() if text.startswith(tag, at)), None)

    def _may_be_cut(self, rest: str) -> bool:
        """It may become a tag with what comes; at the end, only a closing tag is completed."""
        if self._ended:
            return self._block is not None and self._block.closing.startswith(rest)
        return any(tag.startswith(rest) for tag in self._possible())

    def _possible(self) -> list[str]:
        """Tags that mean something here. A new block may begin before the open one was closed, on
        a line of its own; a program is never left but by its own closing tag."""
        if self._block is None:
            return list(self._openings)
        if self._block is Tag.CODE or not self._guard.line_is_blank:
            return [self._block.closing]
        own = self._block.opening
        return [self._block.closing, *(tag for tag in self._openings if tag != own)]


class _Guard:
    """Whether ticks make what follows text."""

    def __init__(self) -> None:
        self.line_is_blank = True
        self._fence = 0  # ticks of the open fence
        self._span = 0  # ticks of the open span
        self._run = 0  # ticks read just now, which may go on
        self._run_begins_line = False
        # the rest of the line after ticks that open a fence, unless they turn out to be a span
        self._info: str | None = None
        self._info_begins_line = False
        self._closing = False  # ticks that close the fence, if nothing more stands on their line

    @property
    def active(self) -> bool:
        return bool(self._fence or self._span)

    def ticks(self, count: int) -> None:
        if not self._run:
            self._run_begins_line = self.line_is_blank
        self._run += count
        self.line_is_blank = False

    def plain(self, text: str) -> None:
        self._settle()
        blank = _BLANK.fullmatch(text) is not None
        self._closing = self._closing and blank
        self.line_is_blank = self.line_is_blank and blank
        if self._info is not None:
            self._info += text

    def newline(self) -> None:
        self.angle()
        if self._info is not None and (self._info_begins_line or _INFO.fullmatch(self._info)):
            self._fence = self._span
        self._span, self._info = 0, None
        self.line_is_blank = True

    def angle(self) -> None:
        """A "<" or the end of the line: closing ticks before it close the fence."""
        self._settle()
        if self._closing:
            self.lift()

    def lift(self) -> None:
        self._fence = self._span = 0
        self._info, self._closing = None, False

    def end(self, text: str, start: int, *, ended: bool) -> int | None:
        """Where the open guard ends, if ticks close it; 0 if none ever do; None while unknown."""
        if self._fence:
            return _fence_end(self._fence, text, start, ended=ended)
        line_end = text.find("\n", start)
        stop = line_end if line_end >= 0 else len(text)
        for run in _TICKS.finditer(text, start, stop):
            if run.end() == len(text) and not ended:
                return None
            if run.end() - run.start() == self._span:
                return run.end()
        if line_end < 0:
            return 0 if ended else None
        if self._info is not None and self._info_begins_line:
            return _fence_end(self._span, text, line_end, ended=ended)
        return 0

    def _settle(self) -> None:
        """The run of ticks is over, now that something else follows."""
        run, self._run = self._run, 0
        if not run:
            return
        if self._fence:
            self._closing = self._run_begins_line and run >= self._fence
        elif self._span == run:
            self._span, self._info = 0, None
        elif not self._span:
            self._span = run
            self._info = "" if run >= 3 else None
            self._info_begins_line = self._run_begins_line


def _fence_end(ticks: int, text: str, start: int, *, ended: bool) -> int | None:
    last = r"\n|<|\Z" if ended else r"\n|<"
    found = re.compile(rf"\n[ \t]*`{{{ticks},}}[ \t\r]*(?={last})").search(text, start)
    if found:
        return found.end()
    return 0 if ended else None


def _joined(events: Iterator[TagEvent]) -> list[TagEvent]:
    joined: list[TagEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Text) and isinstance(last, Text):
            joined[-1] = Text(last.tag, last.text + event.text)
        else:
            joined.append(event)
    return joined


def program(block: str) -> str:
    """The program in the text of a Code block: what stands between the first line that opens a
    fence and the last that closes it, or the whole where there is no fence."""
    opened = _FENCE_OPENS.search(block)
    if opened is None:
        return block.strip("\n")
    inner = block[opened.end() :]
    closings = list(re.finditer(rf"^[ \t]*`{{{len(opened[1])},}}[ \t\r]*$", inner, re.MULTILINE))
    return inner[: closings[-1].start()].rstrip("\n") if closings else inner.rstrip("\n")
