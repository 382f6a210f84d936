"""The model's tags, read as they stream: text in any pieces in, typed events out.

A block is `<Tag>` … `</Tag>`. What stands in back-ticks or in a code fence is text, even if it looks
like a tag. Ticks are read as Markdown reads them (CommonMark 0.31, sections 4.5 and 6.1), but a span
in single ticks ends with its line, because a lone tick in prose must not swallow the rest of a turn.
A span or a fence that never closes guards nothing: a tag found in one is held back until the closing
ticks make it text, or the end of the line or of the input makes it a tag after all.

Text is handed on at once; only what may still become a tag waits. The pieces of source in the
events, joined, are the text that came in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Tag(StrEnum):
    ANALYZE = "Analyze"
    UNDERSTAND = "Understand"
    CODE = "Code"
    EXECUTE = "Execute"
    FILE = "File"
    ANSWER = "Answer"

    @property
    def opening(self) -> str:
        return f"<{self}>"

    @property
    def closing(self) -> str:
        return f"</{self}>"


ALL_TAGS = tuple(Tag)
# what the model writes; the platform itself writes the others
MODEL_TAGS = (Tag.ANALYZE, Tag.UNDERSTAND, Tag.CODE, Tag.ANSWER)


@dataclass(frozen=True, slots=True)
class Opened:
    tag: Tag

    @property
    def source(self) -> str:
        return self.tag.opening


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the open block's text; tag is None outside of any block."""

    tag: Tag | None
    text: str

    @property
    def source(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Closed:
    """`source` is the closing tag as far as it was written: empty where the next block's opening
    tag or the end of the input closed this one, and the rest of the tag has to be restored."""

    tag: Tag
    source: str


TagEvent = Opened | Text | Closed

_POINT = re.compile(r"[`\n<]")
_TICKS = re.compile(r"`+")
_BLANK = re.compile(r"[ \t]*")
# the word after an opening fence that does not begin its line: "```python", not prose
_INFO = re.compile(r"[\w+#.-]*[ \t]*")
# A tag in an open fence waits no longer than this for the fence to close.
_HELD_CHARACTERS = 64 * 1024


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
        if self._block is not None:
            # "</Co": the tag was being written when the text was cut
            cut = len(self._rest) > 1
            if self._rest and not cut:
                yield Text(self._block, self._rest)
            yield Closed(self._block, self._rest if cut else "")
            self._block, self._rest = None, ""
        elif self._rest:
            yield Text(None, self._rest)
            self._rest = ""

    def _read(self) -> Iterator[TagEvent]:
        text, self._rest = self._rest, ""
        at = 0  # up to here everything is decided
        while True:
            found = _POINT.search(text, at)
            stop = found.start() if found else len(text)
            if stop > at:
                yield Text(self._block, text[at:stop])
                self._guard.plain(text[at:stop])
            if found is None:
                return
            at = stop
            if text[at] == "<":
                self._guard.settle()
                step = self._decide(text, at)
                if step is None:
                    self._rest = text[at:]
                    return
                events, at = step
                yield from events
            else:
                at = yield from self._mark(text, at)

    def _mark(self, text: str, at: int) -> Iterator[TagEvent]:  # type: ignore[misc]
        """Ticks and line ends: text, which the guard takes note of."""
        ticks = _TICKS.match(text, at)
        end = ticks.end() if ticks else at + 1
        yield Text(self._block, text[at:end])
        if ticks:
            self._guard.ticks(end - at)
        else:
            self._guard.newline()
        return end

    def _decide(self, text: str, at: int) -> tuple[list[TagEvent], int] | None:
        """What the "<" at this place begins, and where to go on; None while that is open."""
        tag = self._tag_at(text, at)
        if tag is None:
            if not self._ended and self._may_become_tag(text[at:]):
                return None
            if self._ended and self._is_cut_closing(text[at:]):
                return None
            return self._plain(text, at, at + 1)
        if not self._guard.active:
            return self._structure(text, at, tag)
        end = self._guard.end(text, at + len(tag), ended=self._ended)
        if end is None:
            if len(text) - at > _HELD_CHARACTERS:
                return self._plain(text, at, at + len(tag))
            return None
        if end:
            self._guard.lift()
            return self._plain(text, at, end)
        self._guard.lift()
        return self._structure(text, at, tag)

    def _plain(self, text: str, at: int, end: int) -> tuple[list[TagEvent], int]:
        last = text.rfind("\n", at, end)
        if last >= 0:
            self._guard.newline()
        self._guard.plain(text[max(at, last + 1) : end])
        return [Text(self._block, text[at:end])], end

    def _structure(self, text: str, at: int, tag: str) -> tuple[list[TagEvent], int]:
        events: list[TagEvent] = []
        if self._block is not None:
            closes = tag == self._block.closing
            events.append(Closed(self._block, tag if closes else ""))
            self._block = None
        if tag in self._openings:
            self._block = self._openings[tag]
            events.append(Opened(self._block))
        self._guard = _Guard()
        return events, at + len(tag)

    def _tag_at(self, text: str, at: int) -> str | None:
        return next((tag for tag in self._possible() if text.startswith(tag, at)), None)

    def _may_become_tag(self, rest: str) -> bool:
        return any(tag.startswith(rest) for tag in self._possible())

    def _is_cut_closing(self, rest: str) -> bool:
        return self._block is not None and self._block.closing.startswith(rest)

    def _possible(self) -> list[str]:
        """Tags that mean something here. A new block may begin before the open one was closed, on
        a line of its own; a program is never left but by its own closing tag."""
        if self._block is None:
            return list(self._openings)
        if self._block is Tag.CODE or not self._guard.line_is_blank:
            return [self._block.closing]
        return [self._block.closing, *self._openings]


class _Guard:
    """Whether ticks make what follows text."""

    def __init__(self) -> None:
        self.line_is_blank = True
        self._fence = 0  # ticks of the open fence
        self._span = 0  # ticks of the open span
        self._run = 0  # ticks read just now, which may go on
        self._run_begins_line = False
        self._info: str | None = None  # the rest of a line that may have opened a fence
        self._info_begins_line = False
        self._closing = False  # a line that closes the fence, if nothing more stands on it

    @property
    def active(self) -> bool:
        return bool(self._fence or self._span)

    def plain(self, text: str) -> None:
        self.settle()
        blank = _BLANK.fullmatch(text) is not None
        self._closing = self._closing and blank
        if self._info is not None:
            self._info += text
        self.line_is_blank = self.line_is_blank and blank

    def ticks(self, count: int) -> None:
        if not self._run:
            self._run_begins_line = self.line_is_blank
        self._run += count
        self.line_is_blank = False

    def newline(self) -> None:
        self.settle(line_ends=True)
        if self._info is not None and (self._info_begins_line or _INFO.fullmatch(self._info)):
            self._fence = self._span
        self._span, self._info = 0, None
        self.line_is_blank = True

    def settle(self, *, line_ends: bool = False) -> None:
        """The run of ticks is over, now that something else follows."""
        run, self._run = self._run, 0
        if run:
            self._apply(run)
        if self._closing and (line_ends or not run):
            pass

    def _apply(self, run: int) -> None:
        if self._fence:
            if self._run_begins_line and run >= self._fence:
                self._closing = True
        elif self._span == run:
            self._span, self._info = 0, None
        elif not self._span:
            self._span = run
            self._info = "" if run >= 3 else None
            self._info_begins_line = self._run_begins_line

    def end(self, text: str, start: int, *, ended: bool) -> int | None:
        raise NotImplementedError

    def lift(self) -> None:
        self._fence = self._span = 0
        self._info, self._closing = None, False
