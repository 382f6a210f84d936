"""A run's events as they are printed."""

import io

import pytest
from rich.console import Console

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client.events import event_of
from isobath_client.render import LINE_CHARACTERS, Renderer


def printed(*events: analyst.Event, terminal: bool = False, live: bool = False) -> str:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=terminal, width=80, color_system=None)
    renderer = Renderer(console)
    if live:
        with renderer:
            for event in events:
                renderer.show(event_of(event))
    else:
        for event in events:
            renderer.show(event_of(event))
    return sink.getvalue()


def text(kind: "analyst.BlockKind", *pieces: str) -> list[analyst.Event]:
    return [
        *(analyst.Event(block_text=analyst.BlockText(kind=kind, text=each)) for each in pieces),
        analyst.Event(block_closed=analyst.BlockClosed(kind=kind)),
    ]


def output(piece: str) -> analyst.Event:
    return analyst.Event(program_output=analyst.ProgramOutput(stream="stdout", text=piece))


def test_pieces_of_a_line_come_as_one() -> None:
    told = printed(*text(analyst.BLOCK_KIND_ANALYZE, "I count ", "the [b]orders."), output("a\nb"))
    assert told == "I count the [b]orders.\na\nb"


@pytest.mark.parametrize("live", [False, True])
def test_what_follows_half_a_line_stands_on_its_own(live: bool) -> None:
    finished = analyst.ProgramFinished(outcome="ok")
    told = printed(output("42"), analyst.Event(program_finished=finished), terminal=live, live=live)
    assert "42" in told and told.splitlines()[-1].startswith(("ok after", "\x1b")), told


def test_answer_is_laid_out_on_a_terminal_and_markdown_elsewhere() -> None:
    answer = text(analyst.BLOCK_KIND_ANSWER, "It is ", "**42** :smile:.")
    assert printed(*answer) == "It is **42** :smile:.\n"
    assert "It is 42 " in printed(*answer, terminal=True)


def test_what_is_under_way_is_told_at_the_foot() -> None:
    progress = analyst.FetchProgress(source="lake", rows=1200, bytes=5000, total_bytes=10_000)
    opened = analyst.BlockOpened(kind=analyst.BLOCK_KIND_CODE)
    told = printed(
        analyst.Event(fetch_progress=progress),
        analyst.Event(block_opened=opened),
        output("\n"),
        terminal=True,
        live=True,
    )
    assert "↓ lake: 1,200 rows, 5,000 bytes" in told and "of 10,000" in told
    assert "the analyst writes a program" in told


def test_line_that_would_fill_the_screen_is_cut() -> None:
    long = "x" * (LINE_CHARACTERS + 5)
    told = printed(output(long + "\n"), terminal=True, live=True)
    assert "… 5 more characters" in told
    # where it is kept it is whole
    assert long in printed(output(long + "\n"))


def test_step_of_a_later_version_is_told_as_such() -> None:
    assert "this version does not know" in printed(analyst.Event(sequence=1))
