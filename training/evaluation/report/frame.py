"""What the pages of reports share: one self-contained file that runs nothing and loads nothing."""

import html
import re

from markdown_it import MarkdownIt

from training.evaluation.report.style import STYLE

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
# steps below those of the page
_HEADING = re.compile(r"(</?)h[1-6]\b")
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""


def page(title: str, body: str) -> str:
    """`body` is HTML."""
    return _PAGE.format(title=html.escape(title), style=STYLE, body=body)


def markdown(text: str) -> str:
    """A model's Markdown as HTML: its own HTML is shown as text, its pictures as their names, and
    links of the run's own files lead nowhere."""
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                child.type, child.content = "text", f"[figure: {child.content or 'without name'}]"
                child.children = None
            elif child.type == "link_open" and not _leads(str(child.attrGet("href"))):
                child.attrs.pop("href", None)
    rendered: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    # nor does a heading of an answer stand among those of the page
    return _HEADING.sub(r"\1h4", rendered)


def _leads(href: str) -> bool:
    return href.startswith(("https://", "http://"))


def table(head: list[str], rows: list[list[str]], *, caption: str) -> str:
    """Cells are HTML; the first of a row names it, the others stand right."""
    named = "".join(f'<th scope="col">{each}</th>' for each in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide"><table class="figures"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{named}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def card(value: str, label: str, more: str = "") -> str:
    """A figure of the summary."""
    small = f"<small>{html.escape(more)}</small>" if more else ""
    figure = f"<b>{html.escape(value)}</b><span>{html.escape(label)}</span>"
    return f'<div class="card">{figure}{small}</div>'
