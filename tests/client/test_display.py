"""What a notebook shows of an answer: nothing that a model wrote is markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from isobath_client.display import html, markdown
from isobath_client.transcripts import Program
from tests.gateway.doubles import PNG

PICTURES = {"figure-1-1.png": ("image/png", PNG)}
PROGRAM = Program(1, "print('<b>')", [("stdout", "<script>")], outcome="ok")


def test_answer_is_laid_out_with_its_figures_inside() -> None:
    shown = html("# It\n\n| a |\n|---|\n| **1** |\n\n![f](figure-1-1.png)", PICTURES, [], "model")
    assert "<h1>It</h1>" in shown and "<strong>1</strong>" in shown and "<table>" in shown
    assert shown.count("data:image/png;base64,") == 1


def test_figure_that_the_text_does_not_show_stands_behind_it() -> None:
    assert html("It is.", PICTURES, [], "").count("data:image/png;base64,") == 1


@pytest.mark.req("C6")
def test_what_a_model_wrote_is_no_markup() -> None:
    answer = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) ![spy](http://evil/p.png)"
    shown = html(answer, {}, [PROGRAM], "<i>")
    assert "<script" not in shown and "<img" not in shown and 'href="javascript' not in shown
    assert "evil" not in shown and "spy" in shown
    assert "&lt;script&gt;" in shown and "<details>" in shown and "&lt;i&gt;" in shown


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a < b and `x < y`", "a < b and `x < y`"),
        ("<b>x</b> `<b>`", "&lt;b>x&lt;/b> `&lt;b>`"),
        ("```\n<b>\n```", "```\n<b>\n```"),
        ("\\`<b>\\`", "\\`&lt;b>\\`"),
    ],
)
def test_markdown_keeps_code_and_escapes_html(text: str, kept: str) -> None:
    assert markdown(text) == kept


@given(st.text(alphabet="<>/ab!-`\\\n> \"'=x"))
def test_markdown_never_holds_html(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(text))
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline"}
