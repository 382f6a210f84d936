import base64

import pytest

from isobath_client.pictures import drawn, protocol
from tests.gateway.doubles import PNG


@pytest.mark.parametrize(
    ("environ", "spoken"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, ""),
        ({"TERM": "xterm-256color"}, ""),
        ({}, ""),
    ],
)
def test_protocol_is_told_by_the_terminal(environ: dict[str, str], spoken: str) -> None:
    assert protocol(environ) == spoken


def test_picture_of_kitty_comes_in_chunks() -> None:
    content = PNG * 100
    codes = drawn(content, "image/png", "kitty").strip("\n").split("\x1b\\")[:-1]
    heads, data = zip(*(each.removeprefix("\x1b_G").split(";") for each in codes), strict=True)
    assert base64.b64decode("".join(data)) == content
    assert heads[0] == "a=T,f=100,q=2,m=1" and heads[-1] == "m=0"
    assert all(len(each) <= 4096 for each in data)


def test_what_cannot_be_shown_is_not() -> None:
    assert drawn(b"<svg/>", "image/svg+xml", "iterm2") == ""
    assert drawn(b"", "image/jpeg", "kitty") == ""
    assert drawn(PNG, "image/png", "") == ""
