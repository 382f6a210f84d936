from typing import Any

import pytest

from tests.training.data.runs import message, run, turns
from training.data import record, upstream
from training.data.duplicates import doubles, fingerprint

LONG = "\n".join(f"step_{at} = frame_{at}.groupby('region')['total'].sum()" for at in range(40))


def found(*runs: dict[str, Any], threshold: float = 0.8) -> dict[int, str]:
    return doubles([fingerprint(record.parsed(each)) for each in runs], threshold)


@pytest.mark.req("T3")
def test_same_question_and_programs_are_doubles_whatever_came_out() -> None:
    one = run("a", messages=turns(code="print( 1 )", output="1\n"))
    other = run("b", messages=turns(code="PRINT(1)", output="2\n", answer="<Answer>2</Answer>"))
    assert found(one, other, threshold=1.0) == {1: "the same as another"}


def test_another_question_or_program_is_no_double() -> None:
    assert found(run("a"), run("b", question="Which month?")) == {}
    assert found(run("a"), run("b", messages=turns(code="something(else_)"))) == {}


@pytest.mark.req("T3")
def test_near_doubles_are_found_and_the_first_is_kept() -> None:
    one = run("a", messages=turns(code=LONG))
    near = run("b", messages=turns(code=LONG + "\nprint(step_1)"))
    far = run("c", messages=turns(code=LONG.replace("frame_", "table_")))
    assert found(one, near, far) == {1: "nearly the same as another"}
    assert found(one, near, far, threshold=1.0) == {}


def test_a_double_of_a_double_is_measured_against_what_is_kept() -> None:
    """No chain: the third is like the second, which is dropped, but not like the first."""
    lines = LONG.splitlines()
    versions = ["\n".join(lines[at * 3 : at * 3 + 30]) for at in range(4)]
    runs = [run(str(at), messages=turns(code=code)) for at, code in enumerate(versions)]
    assert set(found(*runs[:3], threshold=0.7)) == {1}


def test_runs_without_a_program_are_compared_by_their_words() -> None:
    def said(run_id: str, words: str) -> dict[str, Any]:
        return run(run_id, messages=[message("user", "?"), message("assistant", words)])

    assert (
        found(said("a", "<Answer>It is 7.</Answer>"), said("b", "<Answer>It is 9.</Answer>")) == {}
    )
    assert found(said("a", "<Answer>It is 7.</Answer>"), said("b", "<Answer>it is  7.</Answer>"))


def test_upstreams_programs_are_found_within_its_text() -> None:
    def whole(output: str) -> Any:
        text = f"<Code>\nx\n</Code><Execute>{output}</Execute><Answer>a</Answer>"
        raw = {"messages": [message("user", "?"), message("assistant", text)]}
        return fingerprint(upstream.parsed(raw))

    assert whole("1").exact == whole("2").exact
