"""What a run's events say of a question."""

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client.events import Event, event_of
from tests.training.evaluation.made import asks
from training.evaluation.dataset import Domain, Number, Table
from training.evaluation.results import Failure, Program, Used
from training.evaluation.run import Asked, Manner, result_of
from training.evaluation.tables import Grid

USAGE = analyst.RunUsage(
    prompt_tokens=900, completion_tokens=100, rounds=2, fetched_bytes=4000, fetched_rows=40,
    elapsed=Duration(seconds=3), estimated=True,
)  # fmt: skip
USED = Used(2, 900, 100, True, 40, 4000, 1.5)
ASKED = Asked("seen", Domain("shop", {}, {}, ()), asks(Number(7)), attempt=2)


def events(*parts: analyst.Event) -> list[Event]:
    return [event_of(each) for each in (*RUN, *parts)]


def program(number: int, outcome: str, error: str = "") -> list[analyst.Event]:
    started = analyst.ProgramStarted(round=number, code=f"print({number})")
    finished = analyst.ProgramFinished(round=number, outcome=outcome, error=error)
    return [
        analyst.Event(run_id="run-1", program_started=started),
        analyst.Event(run_id="run-1", program_finished=finished),
    ]


RUN = [
    analyst.Event(run_id="run-1", started=analyst.RunStarted(thread_id="t")),
    *program(1, "error", "NameError"),
    *program(2, "ok"),
]
COMPLETED = analyst.RunCompleted(answer="There are 7.", finish="answer", usage=USAGE)


@pytest.mark.req("T5")
def test_a_run_that_answered() -> None:
    told = result_of(ASKED, events(analyst.Event(run_id="run-1", completed=COMPLETED)), seconds=1.5)
    assert told.right and told.cause == "" and told.attempt == 2
    assert (told.part, told.domain, told.run_id) == ("seen", "shop", "run-1")
    assert told.used == USED
    assert told.programs == (
        Program(1, "print(1)", "error", "NameError"),
        Program(2, "print(2)", "ok"),
    )
    assert told.failed_programs == 1


def test_a_run_that_reached_a_bound() -> None:
    ended = analyst.RunCompleted(answer="", finish="rounds", usage=USAGE)
    told = result_of(ASKED, events(analyst.Event(completed=ended)))
    assert told.cause == "bound reached: rounds" and told.used.rounds == 2


def test_a_run_that_failed_in_a_program() -> None:
    ended = analyst.RunFailed(reason="SANDBOX_LOST", message="It is gone.", usage=USAGE)
    started = analyst.ProgramStarted(round=3, code="x")
    told = result_of(
        ASKED,
        events(analyst.Event(program_started=started), analyst.Event(failed=ended)),
        failure=Failure("SANDBOX_LOST", "It is gone."),
        seconds=1.5,
    )
    assert told.cause == "run failed: SANDBOX_LOST" and told.used == USED
    assert told.programs[-1] == Program(3, "x", "interrupted")


def test_a_question_that_was_refused_before_it_ran() -> None:
    told = result_of(ASKED, [], failure=Failure("NOT_FOUND", "no such blob"))
    assert told.cause == "run failed: NOT_FOUND" and told.used == Used() and not told.programs


def test_files_count_where_a_table_is_expected() -> None:
    wanted = Asked("seen", ASKED.domain, asks(Table(("a",), ((1,),))))
    grid = Grid(("a",), (("1",),))
    ended = events(analyst.Event(completed=COMPLETED))
    assert result_of(wanted, ended, tables=(grid,)).right
    assert not result_of(wanted, ended).right


def test_how_a_question_is_asked() -> None:
    manner = Manner(model="mine", temperature=0.2, home=Path("x"))
    assert manner.asking(ASKED.question) == {
        "data": ("lake:x.csv",),
        "max_rows": 0,
        "model": "mine",
        "temperature": 0.2,
    }
