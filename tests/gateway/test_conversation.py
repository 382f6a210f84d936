import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.conversation import (
    Action,
    Bounds,
    Conversation,
    Execute,
    Fetched,
    Finish,
    Generate,
    IllegalTransition,
    Message,
    Ran,
    State,
    Turn,
)

PROMPT = Fetched([Message("user", "# Instruction\nWhy?")])
CODE = "<Analyze>look</Analyze><Code>```python\nprint(1)\n```</Code>"
ANSWER = "<Answer>Because.</Answer>"


def turn(text: str, *, tokens: int = 10, at: float = 1.0) -> Turn:
    return Turn(text, tokens, at)


def started(bounds: Bounds | None = None) -> Conversation:
    run = Conversation(bounds or Bounds())
    assert isinstance(run.advance(PROMPT), Generate)
    return run


@pytest.mark.req("C4")
def test_run_goes_from_program_to_answer() -> None:
    run = started()
    asked = run.advance(turn(CODE))
    assert asked == Execute(1, "print(1)\n", 120.0)
    again = run.advance(Ran("1\n", 2.0))
    assert isinstance(again, Generate)
    assert [m.role for m in again.messages] == ["user", "assistant", "execute"]
    assert again.messages[-1].content == "1\n"
    assert run.advance(turn(ANSWER)) == Finish("Because.", "answer")
    assert run.state is State.ENDED


def test_turn_with_neither_program_nor_answer_goes_on() -> None:
    run = started()
    assert isinstance(run.advance(turn("<Analyze>thinking</Analyze>")), Generate)
    assert run.rounds == 0


@pytest.mark.req("C4")
def test_turns_without_progress_are_bounded() -> None:
    run = started(Bounds(idle_turns=2))
    run.advance(turn("hm"))
    last = run.advance(turn("hm"))
    assert isinstance(last, Generate) and "<Answer>" in last.messages[-1].content
    assert run.advance(turn("still nothing")) == Finish("still nothing", "idle")


@pytest.mark.req("C4")
@pytest.mark.parametrize(
    ("bounds", "tokens", "at", "why"),
    [
        (Bounds(rounds=1), 1, 1.0, "rounds"),
        (Bounds(tokens=20), 20, 1.0, "tokens"),
        (Bounds(seconds=5), 1, 6.0, "time"),
    ],
)
def test_bound_gives_one_last_turn(bounds: Bounds, tokens: int, at: float, why: str) -> None:
    run = started(bounds)
    action: Action = run.advance(turn(CODE, tokens=tokens, at=at))
    if isinstance(action, Execute):
        run.advance(Ran("1\n", at))
        action = run.advance(turn(CODE, tokens=tokens, at=at))
    assert isinstance(action, Generate) and why in action.messages[-1].content
    assert run.advance(turn(ANSWER)) == Finish("Because.", why)


def test_program_after_the_last_turn_is_not_run() -> None:
    run = started(Bounds(seconds=5))
    run.advance(turn(CODE, at=6))
    ended = run.advance(turn(CODE, at=7))
    assert isinstance(ended, Finish) and ended.why == "time"


def test_program_gets_no_more_than_the_run_has_left() -> None:
    run = started(Bounds(seconds=100, program_seconds=60))
    assert run.advance(turn(CODE, at=70)) == Execute(1, "print(1)\n", 30)


def test_swallowed_closing_tag_is_put_back() -> None:
    run = started()
    run.advance(Turn("<Code>print(1)", 1, 0.0, stopped_at_code=True))
    assert run.messages[-1].content == "<Code>print(1)</Code>"


def test_answer_after_a_program_in_one_turn_ends_the_run() -> None:
    assert started().advance(turn(CODE + ANSWER)) == Finish("Because.", "answer")


@pytest.mark.parametrize("wrong", [Ran("x", 0.0), PROMPT])
def test_input_out_of_turn_is_refused(wrong: Ran | Fetched) -> None:
    with pytest.raises(IllegalTransition):
        started().advance(wrong)


@given(st.lists(st.sampled_from([CODE, "hm", "<Analyze>a</Analyze>", "<Code>", ""]), max_size=60))
def test_run_always_ends_within_its_bounds(turns: list[str]) -> None:
    bounds = Bounds(rounds=4, tokens=200, idle_turns=2)
    run = started(bounds)
    steps = 0
    for text in [*turns, *["hm"] * 20]:
        action = run.advance(turn(text, tokens=7))
        steps += 1
        if isinstance(action, Execute):
            action = run.advance(Ran("out", 1.0))
        if isinstance(action, Finish):
            break
    assert run.state is State.ENDED
    assert run.rounds <= bounds.rounds
    assert steps <= (bounds.rounds + 1) * (bounds.idle_turns + 1) + 2
