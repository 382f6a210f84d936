"""Scoring is strict where it must be, and the question set keeps its own rules."""

from collections.abc import Callable

import pytest

from training.evaluation import apart, seen
from training.evaluation.dataset import DATABASE, LAKE, Domain, Number, Question, Words
from training.evaluation.run import Result, causes, scores
from training.evaluation.scoring import LEAD_CHARS, by_chance, lead, missing, stated

MAKERS = [*seen.DOMAINS, *apart.DOMAINS]


def asks(*expects: Number | Words, refuses: bool = False) -> Question:
    return Question("q", "?", (), expects, refuses)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,234.5 rows", [1234.5]),
        ("1 234 567", [1234567]),
        ("€ 12.50 and $3", [12.5, 3]),
        ("3.4k and 1.2 million", [3400, 1_200_000]),
        ("-5 and −6 and 7–9", [-5, -6, 7]),
        ("**42**", [42]),
        ("2024-05-01", [2024]),
        ("v1.2.3 A4 x7", []),
        ("no number", []),
    ],
)
def test_numbers_as_people_write_them(text: str, values: list[float]) -> None:
    found = [each.value for each in stated(text)]
    assert found[: len(values)] == pytest.approx(values)
    assert bool(found) == bool(values)


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
    assert by_chance(questions, ["1", "2", "3"]) == 0
    assert by_chance(questions, ["1 2 3", "2", "3"]) == pytest.approx(2 / 6)
    assert by_chance([asks(Number(1)), asks(refuses=True)], ["It cannot be told.", "1"]) == 1


def test_lead_leaves_out_headings_code_and_pictures() -> None:
    text = "## Title 1\n![a 2](b)\n```python\n3\n```\nIt is **4**."
    assert lead(text) == "It is 4."


@pytest.mark.req("T5")
def test_the_set_is_as_large_and_varied_as_it_has_to_be() -> None:
    domains = [make() for make in MAKERS]
    questions = [each for domain in domains for each in domain.questions]
    assert len(domains) >= 8 and len(questions) >= 60
    assert len({each.id for each in questions}) == len(questions)
    kinds = {path.rpartition(".")[2] for domain in domains for path in domain.files}
    assert kinds >= {"csv", "parquet", "xlsx", "json"}
    assert any(domain.tables for domain in domains)
    assert len(seen.DOMAINS) == len(apart.DOMAINS)


@pytest.mark.req("T5")
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__module__.rpartition(".")[2])
def test_domain_keeps_the_rules(make: Callable[[], Domain]) -> None:
    domain, again = make(), make()
    assert domain.files == again.files and domain.questions == again.questions
    assert all(frame.equals(again.tables[name]) for name, frame in domain.tables.items())
    assert all(path.startswith(f"{domain.name}/") for path in domain.files)
    assert sum(each.refuses for each in domain.questions) == 1
    for question in domain.questions:
        assert question.id.startswith(domain.name) and question.data
        assert bool(question.expects) != question.refuses
        assert missing(question, "") and missing(question, question.text), "nothing is no answer"
        for chosen in question.data:
            source, _, what = chosen.partition(":")
            assert source in (DATABASE, LAKE)
            if source == DATABASE:
                schema, _, name = what.partition(".")
                assert schema == domain.name and name in domain.tables


def result(question: Question, answer: str, failed: str = "") -> Result:
    lacks = missing(question, answer)
    return Result("seen", "shop", question, answer, lacks, failed, rounds=2, seconds=1.0)


def test_what_is_wrong_is_counted_by_cause() -> None:
    both, none = asks(Number(1), Number(2)), asks(refuses=True)
    results = [
        result(both, "1 and 2"),
        result(both, "1"),
        result(both, "3"),
        result(both, ""),
        result(both, "", failed="the model is gone"),
        result(none, "It is 3."),
    ]
    assert [each.cause for each in results[1:]] == [
        "a part of the answer is missing",
        "another answer",
        "no answer",
        "the run failed",
        "answered what the data cannot tell",
    ]
    assert causes(results).count(": 1") == 5
    assert [(each.part, each.right, each.asked) for each in scores(results)] == [
        ("shop", 1, 6),
        ("seen", 1, 6),
        ("all", 1, 6),
    ]
