"""A run as a notebook and as a page."""

import asyncio
import json
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import Isobath
from isobath_client.errors import IsobathError
from services.gateway.exports import notebook, page, shown
from tests.gateway.conftest import ANSWER, CODE, KEY, Platform
from tests.gateway.doubles import HANG, PNG

QUESTION = "How many <b>orders</b>?"
FIGURE = analyst.FileInfo(id="file-1", name="figure-1-1.png", media_type="image/png")
TABLE = analyst.FileInfo(id="file-2", name="out.csv", media_type="text/csv")


def block(kind: "analyst.BlockKind", text: str) -> list[analyst.Event]:
    return [
        analyst.Event(block_opened=analyst.BlockOpened(kind=kind)),
        analyst.Event(block_text=analyst.BlockText(kind=kind, text=text[:4])),
        analyst.Event(block_text=analyst.BlockText(kind=kind, text=text[4:])),
        analyst.Event(block_closed=analyst.BlockClosed(kind=kind)),
    ]


def events(answer: str = "There are **7**.\n\n![f](figure-1-1.png)") -> list[analyst.Event]:
    code = "print(7)\nplt.show()"
    return [
        analyst.Event(started=analyst.RunStarted(question=QUESTION)),
        analyst.Event(file_ready=analyst.FileReady(path="orders.csv", source="sales", rows=9)),
        *block(analyst.BLOCK_KIND_ANALYZE, "I count them."),
        *block(analyst.BLOCK_KIND_CODE, code),
        analyst.Event(program_started=analyst.ProgramStarted(round=1, code=code)),
        analyst.Event(program_output=analyst.ProgramOutput(round=1, stream="stdout", text="7")),
        analyst.Event(program_output=analyst.ProgramOutput(round=1, stream="stdout", text="\n")),
        analyst.Event(program_output=analyst.ProgramOutput(round=1, stream="stderr", text="w")),
        analyst.Event(figure=analyst.Figure(round=1, file_id="file-1", media_type="image/png")),
        *block(analyst.BLOCK_KIND_EXECUTE, "7\n"),
        *block(analyst.BLOCK_KIND_ANSWER, answer),
        analyst.Event(completed=analyst.RunCompleted(answer=answer, files=[FIGURE, TABLE])),
    ]


@pytest.mark.req("C6")
def test_notebook_has_words_programs_outputs_and_figures() -> None:
    made = notebook("run-1", events(), {"file-1": PNG})
    read = nbformat.reads(made.content.decode(), as_version=4)
    nbformat.validate(read)
    assert [cell.cell_type for cell in read.cells] == [
        "markdown", "markdown", "markdown", "code", "markdown",
    ]  # fmt: skip
    assert read.cells[0].source == f"# {QUESTION}" and "`orders.csv`" in read.cells[1].source
    code = read.cells[3]
    assert code.source == "print(7)\nplt.show()" and code.execution_count == 1
    streams = [(o.name, o.text) for o in code.outputs if o.output_type == "stream"]
    assert streams == [("stdout", "7\n"), ("stderr", "w")]
    assert "image/png" in code.outputs[-1].data
    assert read.cells[4].source.startswith("There are **7**.")
    assert made.name == "run-1.ipynb"
    assert made == notebook("run-1", events(), {"file-1": PNG}), "the same run, the same bytes"


def test_notebook_without_a_deleted_figure_is_still_one() -> None:
    read = json.loads(notebook("run-1", events(), {}).content)
    nbformat.validate(nbformat.from_dict(read))


def test_page_holds_its_figures_and_runs_nothing() -> None:
    answer = "It is <script>alert(1)</script> [x](javascript:alert(1)) ![f](http://evil/p.png)"
    text = page("run-1", events(answer), {"file-1": PNG}).content.decode()
    assert "data:image/png;base64," in text
    assert "<script" not in text and 'href="javascript:' not in text and 'src="http' not in text
    assert "default-src 'none'" in text and "<title>How many &lt;b&gt;" in text
    assert "print(7)" in text and "out.csv" in text


@given(st.text(), st.text())
def test_whatever_a_model_writes_is_a_document(answer: str, printed: str) -> None:
    told = analyst.ProgramOutput(round=1, stream="stdout", text=printed)
    made = [*events(answer)[:11], analyst.Event(program_output=told), *events(answer)[11:]]
    nbformat.validate(nbformat.reads(notebook("r", made, {}).content.decode(), as_version=4))
    assert b"<script" not in page("r", made, {}).content


def test_pictures_of_a_run_are_named_once() -> None:
    assert shown(events()) == ["file-1"]


@pytest.mark.req("C6", "S4")
async def test_export_over_http_and_by_the_client(platform: Platform, tmp_path: Path) -> None:
    await platform.source()
    code = CODE.format(f"print(6 * 7)\nshow({PNG!r})")
    platform.models.turns = [code, ANSWER.format("It is 42.")]
    reply = (await platform.chat({"source": "shop", "table": "public.orders"})).json()
    assert reply["choices"][0]["message"]
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    got = await platform.http.get(f"/v1/runs/{run['id']}/export", params={"format": "notebook"})
    assert got.headers["content-disposition"].endswith(f'{run["id"]}.ipynb"')
    read = nbformat.reads(got.text, as_version=4)
    assert read.cells[0].source == "# How many?"
    assert any("image/png" in o.get("data", {}) for c in read.cells for o in c.get("outputs", []))
    shown_page = await platform.http.get(f"/v1/runs/{run['id']}/export", params={"format": "html"})
    assert shown_page.headers["content-type"].startswith("text/html")
    assert "It is 42." in shown_page.text and "data:image/png" in shown_page.text

    wrong = await platform.http.get(f"/v1/runs/{run['id']}/export", params={"format": "docx"})
    assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "format"
    assert (await platform.http.get("/v1/runs/run-none/export")).status_code == 404

    def saved() -> list[str]:
        with Isobath(platform.grpc_address, api_key=KEY) as client:
            paths = [
                client.runs.export(run["id"], tmp_path, format=f) for f in ("notebook", "html")
            ]
            with pytest.raises(IsobathError):
                client.runs.export("run-none", tmp_path)
        return [path.name for path in paths]

    assert await asyncio.to_thread(saved) == [f"{run['id']}.ipynb", f"{run['id']}.html"]
    assert (tmp_path / f"{run['id']}.ipynb").read_bytes() == got.content


async def test_a_run_that_goes_is_not_exported(platform: Platform) -> None:
    platform.models.turns = [HANG]
    going = asyncio.create_task(platform.chat())
    await asyncio.wait_for(platform.models.held.reached.wait(), 10)
    (run,) = (await platform.http.get("/v1/runs")).json()["data"]
    refused = await platform.http.get(f"/v1/runs/{run['id']}/export")
    assert refused.status_code == 409 and "ended" in refused.json()["error"]["message"]
    await platform.http.post(f"/v1/runs/{run['id']}/cancel")
    await going
    assert (await platform.http.get(f"/v1/runs/{run['id']}/export")).status_code == 200
