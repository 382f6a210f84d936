"""Two evaluations side by side: what was won and lost, and what does not count."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.evaluation.made import asks, result
from training.evaluation.comparison import MEASURES, Comparison, compared, left_out, verdict
from training.evaluation.dataset import Number
from training.evaluation.report.beside import markdown
from training.evaluation.results import Result

NAMES = ("base", "tuned")


def answers(*right: bool, start: int = 0, domain: str = "shop") -> list[Result]:
    return [
        result(asks(Number(1), id=f"q{at}"), "1" if each else "2", domain=domain)
        for at, each in enumerate(right, start)
    ]


def test_won_and_lost() -> None:
    told = compared(NAMES, answers(True, True, False, False), answers(True, False, True, False))
    assert [each.id for each in told.won] == ["q2"]
    assert [each.id for each in told.lost] == ["q1"]
    assert [each.id for each in told.alike] == ["q0", "q3"]
    assert told.shares == (0.5, 0.5) and told.difference == 0 and told.p == 1
    assert "No difference" in verdict(told)


@pytest.mark.req("T5")
def test_a_difference_that_is_no_chance_is_told() -> None:
    told = compared(NAMES, answers(*[False] * 8), answers(*[True] * 8))
    assert told.p == pytest.approx(2 / 256)
    assert told.interval.low == told.interval.high == 1
    assert verdict(told).startswith("tuned answers more than base")
    other_way = compared(NAMES, answers(*[True] * 8), answers(*[False] * 8))
    assert verdict(other_way).startswith("base answers more than tuned")


def test_only_what_both_were_asked_counts() -> None:
    changed = result(asks(Number(7), id="q1"), "7")
    told = compared(NAMES, answers(True, True, True), [changed, *answers(False, False, start=2)])
    assert [each.id for each in told.pairs] == ["q2"]
    assert (told.only_before, told.only_after, told.changed) == (("q0",), ("q3",), ("q1",))
    assert left_out(told) == [
        "only base was asked: q0",
        "only tuned was asked: q3",
        "the two were asked differently: q1",
    ]
    assert verdict(compared(NAMES, [], answers(True))) == "The two have no question in common."


def test_attempts_are_shares() -> None:
    question = asks(Number(1))
    before = [result(question, "1", attempt=1), result(question, "2", attempt=2)]
    after = [result(question, "1", attempt=1), result(question, "1", attempt=2)]
    told = compared(NAMES, before, after)
    assert told.difference == pytest.approx(0.5) and len(told.won) == 1
    assert "1 of 2 → 2 of 2" in markdown(told)


def test_ratios() -> None:
    (one,) = answers(True)
    used = replace(one.used, prompt_tokens=1800, completion_tokens=50, rounds=2)
    told = compared(NAMES, [one], [replace(one, used=used, programs=())])
    of = {name: told.ratio(took).total for name, took in MEASURES.items()}
    assert of == {
        "tokens read": 2.0,
        "tokens written": 0.5,
        "seconds": 1.0,
        "rounds": 1.0,
        "programs": 0.0,
        "programs that failed": 0.0,
    }
    nothing = compared(NAMES, [replace(one, programs=())], [one])
    assert nothing.ratio(MEASURES["programs"]).total is None


def test_domains_apart() -> None:
    mine = [*answers(True, domain="a"), *answers(False, start=1, domain="b")]
    theirs = [*answers(True, domain="a"), *answers(True, start=1, domain="b")]
    told = compared(NAMES, mine, theirs)
    assert told.domains == ["a", "b"]
    assert told.of_domain("b").difference == 1 and told.of_domain("a").difference == 0
    assert "| b | 0% | 100% | +100.0% |" in markdown(told)
    assert "## won by tuned: 1" in markdown(told) and "## lost by" not in markdown(told)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_turned_round_it_says_the_opposite(pairs: list[tuple[bool, bool]]) -> None:
    mine, theirs = (answers(*side) for side in zip(*pairs, strict=True))

    def told(one: list[Result], other: list[Result]) -> Comparison:
        return compared(NAMES, one, other)

    there, back = told(mine, theirs), told(theirs, mine)
    assert there.difference == pytest.approx(-back.difference) and there.p == back.p
    assert [each.id for each in there.won] == [each.id for each in back.lost]
    assert there.interval.low - 1e-9 <= there.difference <= there.interval.high + 1e-9
