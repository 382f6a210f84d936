"""What of a program's text is passed on: the head as it comes, the tail at the end. Pure."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    stream: str
    text: str


class Window:
    """Sizes in bytes of UTF-8. `take` gives what may be shown at once, `finish` the rest."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self._head_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[Text] = deque()
        self._tail_held = 0
        self.cut_bytes = 0

    def take(self, stream: str, text: str) -> list[Text]:
        text = clean(text)
        shown, rest = _split(text, self._head_left)
        self._head_left = 0 if rest else self._head_left - _size(shown)
        if rest:
            self._hold(Text(stream, rest))
        return [Text(stream, shown)] if shown else []

    def _hold(self, text: Text) -> None:
        self._tail.append(text)
        self._tail_held += _size(text.text)
        while self._tail_held > self._tail_bytes:
            self._shed()

    def _shed(self) -> None:
        first = self._tail.popleft()
        size = _size(first.text)
        over = self._tail_held - self._tail_bytes
        if size <= over:
            lost = size
        else:
            kept = first.text.encode()[over:].decode(errors="ignore")
            lost = size - _size(kept)
            self._tail.appendleft(Text(first.stream, kept))
        self._tail_held -= lost
        self.cut_bytes += lost

    def finish(self) -> list[Text]:
        rest = list(self._tail)
        self._tail.clear()
        if self.cut_bytes:
            notice = f"\n[… {self.cut_bytes} bytes of output cut …]\n"
            return [Text("stderr", notice), *rest]
        return rest


def clean(text: str) -> str:
    """What UTF-8 can carry: programs may print halves of surrogate pairs."""
    return text.encode(errors="replace").decode()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _split(text: str, limit: int) -> tuple[str, str]:
    if _size(text) <= limit:
        return text, ""
    head = text.encode()[:limit].decode(errors="ignore")
    return head, text[len(head) :]
