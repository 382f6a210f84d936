"""An answer as a notebook shows it: Markdown laid out, figures inside, programs folded away.

What a model or a program wrote is text here, never markup: HTML in it is escaped, links that run
something are left out, and no picture is loaded but the run's own.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePosixPath
from typing import Any

from markdown_it import MarkdownIt

from isobath_client.events import Usage
from isobath_client.transcripts import Program

Pictures = Mapping[str, tuple[str, bytes]]
"""Media type and bytes of each figure, by its name."""


def markdown(answer: str) -> str:
    """The answer's Markdown with the HTML in it escaped."""
    found = _html_in(answer)
    for each in found:
        answer = answer.replace(each, each.replace("<", "&lt;"))
    # a tag over several lines of a quotation stands there with its marks, and is not found as it is
    return answer.replace("<", "&lt;") if _html_in(answer) else answer


def html(answer: str, pictures: Pictures, programs: Sequence[Program], footer: str) -> str:
    """The answer as HTML; pictures that its text does not show stand behind it."""
    page = _Page(pictures)
    parts = [page.answer(answer)]
    parts += [page.picture(name) for name in pictures if name not in page.shown]
    if programs:
        told = "1 program" if len(programs) == 1 else f"{len(programs)} programs"
        folded = "".join(map(_program, programs))
        parts.append(f"<details><summary>{told}</summary>{folded}</details>")
    parts.append(f"<p><small>{escape(footer)}</small></p>")
    return f'<div class="isobath-answer">{"".join(parts)}</div>'


def between(*parts: str) -> str:
    """Those that say something, on one line."""
    return " · ".join(part for part in parts if part)


def told(usage: Usage) -> str:
    """What a run used, in a line."""
    about = "about " if usage.estimated else ""
    return (
        f"{usage.rounds} rounds · {about}{usage.completion_tokens:,} tokens · "
        f"{usage.fetched_rows:,} rows fetched · {usage.elapsed_s:.1f} s"
    )


def _html_in(text: str) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    return [token.content for token in flat if token.type in ("html_block", "html_inline")]


def _program(program: Program) -> str:
    head = f"Program {program.round}: {program.outcome or 'not ended'}"
    code, output = escape(program.code.strip("\n")), escape(program.output.strip("\n"))
    told = f"<pre>{output}</pre>" if output else ""
    return f"<p>{escape(head)}</p><pre><code>{code}</code></pre>{told}"


class _Page:
    """Lays out Markdown; `shown` are the pictures that it has used."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self.shown: set[str] = set()

    def answer(self, text: str) -> str:
        laid_out = MarkdownIt("commonmark", {"html": False}).enable("table")
        laid_out.add_render_rule("image", lambda _, tokens, at, *rest: self._image(tokens, at))
        return str(laid_out.render(text))

    def picture(self, name: str) -> str:
        self.shown.add(name)
        media_type, content = self._pictures[name]
        data = base64.b64encode(content).decode()
        return f'<img alt="{escape(name)}" src="data:{escape(media_type)};base64,{data}">'

    def _image(self, tokens: Sequence[Any], at: int) -> str:
        """A picture of the run's own, or the words that stand for one of elsewhere."""
        source = str(tokens[at].attrs.get("src", ""))
        name = PurePosixPath(source).name
        return self.picture(name) if name in self._pictures else escape(tokens[at].content)
