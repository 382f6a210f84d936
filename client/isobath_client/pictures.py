"""Pictures within a terminal: the two protocols that are spoken. Values in, values out.

iTerm2's inline images (https://iterm2.com/documentation-images.html, also WezTerm, VS Code and
mintty), and kitty's graphics (https://sw.kovidgoyal.net/kitty/graphics-protocol/, also Ghostty and
Konsole), which takes PNG alone.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions
from rich.segment import ControlType, Segment

Protocol = Literal["iterm2", "kitty", ""]
_ITERM2 = frozenset({"iTerm.app", "WezTerm", "vscode", "mintty"})
_KITTY = frozenset({"ghostty", "konsole"})
# of base64 in one command of kitty's
_CHUNK = 4096


def protocol(environ: Mapping[str, str]) -> Protocol:
    """What this terminal speaks; nothing within tmux and screen, which swallow it."""
    if environ.get("TMUX") or environ.get("TERM", "").startswith(("screen", "tmux", "dumb")):
        return ""
    program = environ.get("TERM_PROGRAM", "")
    if program in _ITERM2 or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if (
        program in _KITTY
        or environ.get("TERM") in ("xterm-kitty", "xterm-ghostty")
        or "KITTY_WINDOW_ID" in environ
        or "KONSOLE_VERSION" in environ
    ):
        return "kitty"
    return ""


def drawn(content: bytes, media_type: str, spoken: Protocol) -> str:
    """What to write to a terminal for a picture; empty where it cannot be shown."""
    if spoken == "iterm2" and media_type.startswith("image/") and "svg" not in media_type:
        data = base64.b64encode(content).decode()
        return f"\x1b]1337;File=inline=1;size={len(content)};preserveAspectRatio=1:{data}\x07\n"
    if spoken == "kitty" and media_type == "image/png":
        return "".join(_kitty(base64.b64encode(content).decode())) + "\n"
    return ""


def _kitty(data: str) -> Iterator[str]:
    """a=T: send and show; f=100: PNG; m=1: more follows; q=2: do not answer."""
    for at in range(0, len(data), _CHUNK):
        head = "a=T,f=100,q=2," if at == 0 else ""
        more = int(at + _CHUNK < len(data))
        yield f"\x1b_G{head}m={more};{data[at : at + _CHUNK]}\x1b\\"


@dataclass(frozen=True)
class Picture:
    """Something that rich prints as it is."""

    code: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        # a control code has no width, and goes to terminals alone
        yield Segment(self.code, None, [(ControlType.HOME, 0, 0)])
