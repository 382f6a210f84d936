import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.engines.stops import StopFinder, open_tag

TEXT = "before <Code>print('<')</Code> after END rest"


def fed(pieces: list[str], stops: tuple[str, ...], *, after_code: bool) -> tuple[str, str]:
    finder = StopFinder(stops, after_code=after_code)
    shown = ""
    for piece in pieces:
        found = finder.feed(piece)
        shown += found.text
        if found.matched:
            return shown, found.matched
    return shown + finder.rest(), ""


@pytest.mark.parametrize("at", range(len(TEXT) + 1))
def test_stop_after_code_split_at_every_byte(at: int):
    shown, matched = fed([TEXT[:at], TEXT[at:]], ("END",), after_code=True)
    assert shown == "before <Code>print('<')</Code>" and matched == "</Code>"


@pytest.mark.parametrize("at", range(len(TEXT) + 1))
def test_stop_string_is_left_out_split_at_every_byte(at: int):
    shown, matched = fed([TEXT[:at], TEXT[at:]], ("END", "never"), after_code=False)
    assert shown == "before <Code>print('<')</Code> after " and matched == "END"


@given(st.lists(st.text("ab<", max_size=4), max_size=12), st.lists(st.text("ab<", min_size=1)))
def test_stop_in_any_pieces_is_that_of_the_whole_text(pieces: list[str], stops: list[str]):
    text = "".join(pieces)
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    shown, matched = fed(pieces, tuple(stops), after_code=False)
    assert bool(matched) == bool(ends)
    assert shown == (text[: len(shown)] if matched else text)
    assert not any(stop in shown for stop in stops)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("", ""),
        ("<Analyze>x", "Analyze"),
        ("<Analyze>x</Analyze><Code>print()", "Code"),
        ("<Analyze>x</Analyze><Code>print()</Code>", ""),
        ("<Answer>write `<Code>` and stop</Answer>", ""),
        ("<Answer>write `<Code>` and stop", "Answer"),
        ("plain", ""),
    ],
)
def test_open_tag_is_the_outer_block_left_open(text: str, tag: str):
    assert open_tag(text) == tag
