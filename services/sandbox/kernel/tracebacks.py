"""Tracebacks as Python writes them, without the frames of what runs the program."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

# of a library's own frames, the innermost say where it failed
_LIBRARY_FRAMES = 2
_LIMIT = 64 * 1024
_SHOWN_AS = "<program>"
# what `sources` is made of: of no use to who wrote the program, and somewhere else each time
_KERNEL = str(Path(__file__).parent)
_CLASSES = f"{__package__}.sources."


def render(error: BaseException, cells: frozenset[str] | set[str]) -> str:
    """`cells`: the file names that programs were compiled under. Chained exceptions come along."""
    told = traceback.TracebackException(
        type(error), error, _own(error.__traceback__, cells), compact=True
    )
    for part in _chain(told):
        part.stack = _trimmed(part.stack, cells)
        if getattr(part, "filename", None) in cells:  # of a SyntaxError
            part.filename = _SHOWN_AS
    # by the names that programs catch them by
    text = "".join(told.format()).replace(_CLASSES, "sources.")
    return text if len(text) <= _LIMIT else text[: _LIMIT // 2] + "\n…\n" + text[-_LIMIT // 2 :]


def _own(trace: TracebackType | None, cells: frozenset[str] | set[str]) -> TracebackType | None:
    """From the program's first frame on; all, where it has none."""
    at = trace
    while at is not None and at.tb_frame.f_code.co_filename not in cells:
        at = at.tb_next
    return at


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    seen: set[int] = set()
    waiting = [told]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += [p for p in (part.__cause__, part.__context__) if p is not None]


def _trimmed(
    stack: traceback.StackSummary, cells: frozenset[str] | set[str]
) -> traceback.StackSummary:
    kept = []
    last_own = max((i for i, f in enumerate(stack) if _is_own(f, cells)), default=-1)
    for number, frame in enumerate(stack):
        if last_own >= 0 and frame.filename.startswith(_KERNEL):
            continue
        if _is_own(frame, cells) or number > max(last_own, len(stack) - 1 - _LIBRARY_FRAMES):
            kept.append(frame)
    for frame in kept:
        if frame.filename in cells:
            frame.filename = _SHOWN_AS
    return traceback.StackSummary.from_list(kept)


def _is_own(frame: traceback.FrameSummary, cells: frozenset[str] | set[str]) -> bool:
    return frame.filename in cells
