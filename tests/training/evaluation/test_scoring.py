"""Scoring is strict where it must be, and gives credit for what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.dataset import Expected, Number, Question, Rule, Table, Words
from training.evaluation.scoring import LEAD_CHARS, Given, by_chance, judged, lead, missing, shown
from training.evaluation.tables import Grid


def asks(*expects: Expected, refuses: bool = False) -> Question:
    return Question("q", "?", (), expects, refuses)


@pytest.mark.parametrize(
    ("expects", "answer", "right"),
    [
        (Number(1234, relative=0), "There are 1,234.", True),
        (Number(1234, relative=0), "There are 1,235.", False),
        (Number(1234), "About 1,230.", True),
        (Number(12.3, percent=True, absolute=0.1), "It is 12.34%.", True),
        (Number(12.3, percent=True, absolute=0.1), "It is 12.34 percent.", True),
        (Number(12.3, percent=True, absolute=0.1), "It is 0.123.", True),
        (Number(12.3, percent=True, absolute=0.1), "It is 12.3.", False),
        (Number(12.3), "It is 12.3%.", False),
        (Number(-4.0), "It fell by 4.", True),
        (Number(-4.0), "It rose by 4.", False),
        (Number(-4.0), "The change is −4.0.", True),
        (Words(("Nordvik",)), "**nordvik** leads.", True),
        (Words(("June", "2024-06")), "The best month is 2024-06.", True),
        (Words(("June",)), "July", False),
        (Number(7), "# 7\n\nSomething.", False),
        (Number(7), "```\n7\n```\nSomething.", False),
        (Number(7), "x" * LEAD_CHARS + " 7", False),
        (Number(7), "", False),
    ],
)
def test_right_and_wrong(expects: Number | Words, answer: str, right: bool) -> None:
    assert (missing(asks(expects), answer) == []) is right


def test_all_that_is_expected_has_to_be_there() -> None:
    question = asks(Words(("Nordvik",)), Number(12.0, percent=True))
    assert missing(question, "Nordvik, 12%") == []
    assert missing(question, "Nordvik") == ["12 %"]
    assert missing(question, "12%") == ["Nordvik"]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("I cannot answer this: no column holds ages.", True),
        ("The data does not contain ages.", True),
        ("The tables hold no ages.", True),
        ("Ages are not in the data.", True),
        ("There is nothing about ages in this data.", True),
        ("This can't be answered.", True),
        ("There is no column for it.", True),
        ("The mean age is 41.", False),
        ("The mean age is 41. A row counts when Staff has no Office.", False),
        ("I did not understand 'can't'. The mean age is 41.", False),
        ("The question does not say what to measure; I took the mean: 41.", False),
        ("", False),
    ],
)
def test_refusals(answer: str, right: bool) -> None:
    assert (missing(asks(refuses=True), answer) == []) is right


def test_chance_is_what_others_answers_would_have_earned() -> None:
    questions = [asks(Number(1)), asks(Number(2)), asks(Number(3))]

    def chance(*answers: str) -> float:
        return by_chance(questions[: len(answers)], [Given(each) for each in answers])

    assert chance("1", "2", "3") == 0
    assert chance("1 2 3", "2", "3") == pytest.approx(2 / 6)
    questions = [asks(Number(1)), asks(refuses=True)]
    assert chance("It cannot be told.", "1") == 1


def test_lead_leaves_out_headings_code_and_pictures() -> None:
    text = "## Title 1\n![a 2](b)\n```python\n3\n```\nIt is **4**."
    assert lead(text) == "It is 4."


@pytest.mark.parametrize(
    ("rule", "answer", "credit"),
    [
        (Rule(all_of=("valves", "pumps")), "Valves, then pumps.", 1.0),
        (Rule(all_of=("valves", "pumps")), "Valves only.", 0.5),
        (Rule(any_of=("rose", "grew")), "It grew.", 1.0),
        (Rule(any_of=("rose", "grew")), "It fell.", 0.0),
        (Rule(none_of=("cancelled",)), "All are open.", 1.0),
        (Rule(none_of=("cancelled",)), "Some are cancelled.", 0.0),
        (Rule(none_of=("cancelled",)), "", 0.0),
        (Rule(in_order=("b", "a")), "first b, then a", 1.0),
        (Rule(in_order=("b", "a")), "first a, then b", 0.0),
        (Rule(in_order=("aa", "a")), "aa", 0.0),
        (Rule(matches=r"inv-\d{5}\b"), "See INV-20001.", 1.0),
        (Rule(matches=r"inv-\d{5}\b"), "See INV-2.", 0.0),
        (Rule(all_of=("x",), none_of=("y",), matches="z"), "x y z", 2 / 3),
    ],
)
def test_text_keeps_to_rules(rule: Rule, answer: str, credit: float) -> None:
    verdict = judged(asks(rule), Given(answer))
    assert verdict.credit == pytest.approx(credit)
    assert verdict.right is (credit == 1)


REGIONS = Table(("region", "revenue"), (("North", 10.0), ("South", 20.0)))
SHOWN = "Here it is.\n\n| Region | Revenue |\n| --- | ---: |\n| South | 20.0 |\n| North | 10.0 |\n"


@pytest.mark.req("T5")
def test_a_table_counts_in_the_answer_and_among_the_files() -> None:
    question = asks(REGIONS)
    assert judged(question, Given(SHOWN)).right
    left = Grid(("region", "revenue"), (("North", "10"), ("South", "20.01")))
    assert judged(question, Given("See regions.csv.", (left,))).right
    wrong = judged(question, Given(SHOWN.replace("20.0", "21.0")))
    assert wrong.lacks == ("1 of 4 cells of the table of region, revenue",)
    assert wrong.credit == pytest.approx(3 / 4)
    assert judged(question, Given("North 10, South 20")).credit == 0
    fenced = judged(question, Given(f"```\n{SHOWN}\n```"))
    assert not fenced.right, "code is no answer"


def test_credit_is_the_mean_of_the_parts() -> None:
    question = asks(Number(7), Words(("Nordvik",)), REGIONS)
    assert judged(question, Given("Nordvik has 7.")).credit == pytest.approx(2 / 3)
    assert judged(question, Given(f"Nordvik has 7. {SHOWN}")).credit == 1


EXPECTED = st.one_of(
    st.builds(Number, st.floats(-1e6, 1e6), percent=st.booleans()),
    st.builds(Words, st.tuples(st.text(min_size=1, max_size=5))),
    st.builds(
        Rule,
        all_of=st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3).map(tuple),
        none_of=st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
    ),
    st.just(REGIONS),
)


@given(st.lists(EXPECTED, min_size=1, max_size=4), st.text(max_size=60))
def test_credit_is_whole_just_where_nothing_lacks(expects: list[Expected], answer: str) -> None:
    verdict = judged(asks(*expects), Given(answer))
    assert 0 <= verdict.credit <= 1
    assert (verdict.credit == 1) is verdict.right
    assert all(shown(each) for each in expects)
    assert not judged(asks(*expects), Given("")).right
