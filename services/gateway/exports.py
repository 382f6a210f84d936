"""A run as one document: a notebook that replays it, or a page that holds all of it. Pure."""

import base64
import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nbformat
from markdown_it import MarkdownIt
from nbformat import NotebookNode, v4

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.report import report

# by the id of the file
Figures = Mapping[str, bytes]
# they have no types
_NBFORMAT: Any = nbformat
_V4: Any = v4
HTML = "text/html; charset=utf-8"
_WORDS = (analyst.BLOCK_KIND_ANALYZE, analyst.BLOCK_KIND_UNDERSTAND, analyst.BLOCK_KIND_ANSWER)


@dataclass(frozen=True)
class Document:
    """`name` is the file's, for whoever saves it."""

    name: str
    media_type: str
    content: bytes


def notebook(run_id: str, events: Iterable[analyst.Event], figures: Figures) -> Document:
    """Words as Markdown, programs as cells with what they printed and showed."""
    cells = _Cells(figures)
    for event in events:
        cells.take(event)
    made = _V4.new_notebook(
        cells=cells.made,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "isobath": {"run_id": run_id},
        },
    )
    for number, cell in enumerate(made.cells):
        # the same run gives the same bytes
        cell["id"] = f"cell-{number}"
    _NBFORMAT.validate(made)
    content = _NBFORMAT.writes(made).encode()
    return Document(f"{run_id}.ipynb", "application/x-ipynb+json", content)


@dataclass
class _Cells:
    figures: Figures
    made: list[NotebookNode] = field(default_factory=list)
    # of the program that runs
    _outputs: list[NotebookNode] = field(default_factory=list)
    _block: int = analyst.BLOCK_KIND_UNSPECIFIED
    _words: list[str] = field(default_factory=list)
    _data: list[str] = field(default_factory=list)

    def take(self, event: analyst.Event) -> None:
        kind = str(event.WhichOneof("event"))
        if handler := _HANDLERS.get(kind):
            handler(self, event)

    def _started(self, event: analyst.Event) -> None:
        self._markdown(f"# {event.started.question.strip()}")

    def _file(self, event: analyst.Event) -> None:
        file = event.file_ready
        rows = f", {file.rows:,} rows" if file.HasField("rows") else ""
        self._data.append(f"- `{file.path}`, from {file.source}{rows}")

    def _opened(self, event: analyst.Event) -> None:
        self._block = event.block_opened.kind
        self._words = []

    def _text(self, event: analyst.Event) -> None:
        self._words.append(event.block_text.text)

    def _closed(self, _: analyst.Event) -> None:
        if self._block in _WORDS and (words := "".join(self._words).strip()):
            self._told_data()
            self._markdown(words)
        self._block = analyst.BLOCK_KIND_UNSPECIFIED

    def _program(self, event: analyst.Event) -> None:
        self._told_data()
        started = event.program_started
        cell = _V4.new_code_cell(started.code.strip("\n"), execution_count=started.round)
        self.made.append(cell)
        self._outputs = cell.outputs

    def _output(self, event: analyst.Event) -> None:
        told = event.program_output
        name = "stderr" if told.stream in ("stderr", "traceback") else "stdout"
        outputs = self._outputs
        if outputs and outputs[-1].output_type == "stream" and outputs[-1].name == name:
            outputs[-1].text += told.text
        else:
            outputs.append(_V4.new_output("stream", name=name, text=told.text))

    def _figure(self, event: analyst.Event) -> None:
        figure = event.figure
        image = self.figures.get(figure.file_id)
        data = {"text/plain": figure.name}
        if image is not None:
            data[figure.media_type] = base64.b64encode(image).decode()
        self._outputs.append(_V4.new_output("display_data", data=data))

    def _told_data(self) -> None:
        """Before the first words: what has to lie beside the notebook for it to run."""
        if self._data:
            self._markdown("**Data**, beside this notebook:\n\n" + "\n".join(self._data))
            self._data = []

    def _markdown(self, text: str) -> None:
        self.made.append(_V4.new_markdown_cell(text))


_HANDLERS: dict[str, Callable[[_Cells, analyst.Event], None]] = {
    "started": _Cells._started,
    "file_ready": _Cells._file,
    "block_opened": _Cells._opened,
    "block_text": _Cells._text,
    "block_closed": _Cells._closed,
    "program_started": _Cells._program,
    "program_output": _Cells._output,
    "figure": _Cells._figure,
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem }}
body {{ margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: .75rem; overflow: auto; font-size: .85rem }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .25rem .6rem }}
img {{ max-width: 100% }}
</style>
<main>
{body}
</main>
</html>
"""


def page(run_id: str, events: Iterable[analyst.Event], figures: Figures) -> Document:
    """The run's report with its figures inside; needs nothing from anywhere, and runs nothing."""
    events = list(events)
    question = next((e.started.question for e in events if e.HasField("started")), "")
    answer = next((e.completed.answer for e in events if e.HasField("completed")), "")
    files = [file for each in events for file in each.completed.files]
    text = report(question or run_id, answer, events, files)
    return Document(f"{run_id}.html", HTML, rendered(text, files, figures))


def rendered(text: str, files: Iterable[analyst.FileInfo], figures: Figures) -> bytes:
    """A report as one page, with those of the files inside that are among the figures."""
    inside = {each.name: _inline(each, figures) for each in files if each.id in figures}
    # the model's own HTML is shown as text
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                child.attrSet("src", inside.get(str(child.attrGet("src")), ""))
            elif child.type == "link_open" and ":" not in str(child.attrGet("href")):
                # files lie on the platform, not beside the page
                child.attrs.pop("href", None)
    body = markdown.renderer.render(tokens, markdown.options, {})
    title = html.escape(text.splitlines()[0].removeprefix("# "))
    return _PAGE.format(title=title, body=body).encode()


def _inline(file: analyst.FileInfo, figures: Figures) -> str:
    return f"data:{file.media_type};base64,{base64.b64encode(figures[file.id]).decode()}"


def shown(events: Iterable[analyst.Event]) -> list[str]:
    """The ids of the pictures that the documents hold."""
    events = list(events)
    ids = [each.figure.file_id for each in events if each.HasField("figure")]
    for event in events:
        ids += [f.id for f in event.completed.files if f.media_type.startswith("image/")]
    return list(dict.fromkeys(ids))
