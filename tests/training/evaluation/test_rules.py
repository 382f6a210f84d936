"""The benchmarks' rules let pass what their own scripts let pass, and nothing else."""

import pytest

from training.evaluation.benchmarks.rules import coda, dabench, dabstep, final, passes, tagged
from training.evaluation.dataset import Reference


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Long.\n\nFinal answer: 12.5", "12.5"),
        ("**Final answer:** B. BE\n\nSources: x", "B. BE"),
        ("**Final answer: NL**", "NL"),
        ("Final answer: 1\nFinal answer: `2`", "2"),
        ("  just this ", "just this"),
        ("Final answer:", ""),
    ],
)
def test_final_answer(answer: str, said: str) -> None:
    assert final(answer) == said


@pytest.mark.parametrize(
    ("response", "label", "right"),
    [
        ("34.65", "34.65", True),
        ("34.650000", "34.65", True),
        ("34.6500001", "34.65", True),
        ("34.651", "34.65", False),
        ("Yes", "Yes", True),
        ("yes", "Yes", False),
        ("0.50", ".5", True),
        ("1,000", "1000", False),
        (" 5", "5", True),
        ("nan", "nan", True),
        (None, "5", False),
        ("", "5", False),
    ],
)
def test_dabench(response: str | None, label: str, right: bool) -> None:
    assert dabench(response, label) is right


def test_dabench_reads_tags() -> None:
    said = "Done: @mean_fare[34.65], @p[0.0002]\n@mean_fare[1] @list[a, b] @un closed[ @x[]"
    assert tagged(said) == {"mean_fare": "1", "p": "0.0002", "list": "a, b", "x": ""}


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        # as dabstep_benchmark/evaluation/scorer.py decides
        ("NL", "nl", True),
        ("B. BE", "B. BE", True),
        ("B", "B. BE", True),
        ("C. ES", "B. BE", False),
        ("Not Applicable", "not applicable", True),
        ("0.120132", "0.120132", True),
        ("0.12019", "0.120132", True),
        ("0.1203", "0.120132", False),
        ("12.36", "12.3", False),
        ("12.36", "12.4", True),
        ("12.3", "12.34", True),
        ("100.004", "100.0", True),
        ("1,234.5", "1234.5", True),
        ("$1,000", "1000", True),
        ("73.15%", "73.15", True),
        ("-0.94", "0.94", True),
        ("E:346.49", "E:346.49", True),
        ("1, 2, 3", "3, 1, 2", True),
        ("[1; 2]", "1, 2", True),
        ("1, 2", "1, 2, 3", False),
        ("1, 2", "1, 5", False),
        ("A: 1.00, B: 2", "A: 1, B: 2", True),
        ("7", "", False),
        ("", "", True),
        ("SwiftCharge is it", "swiftcharge", True),
        ("the quick brown fox", "the quick brown foxx", True),
        ("the quick brown fox", "a slow green turtle", False),
    ],
)
def test_dabstep(answer: str, truth: str, right: bool) -> None:
    assert dabstep(answer, truth) is right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        # as coda_bench/evaluation.py decides
        ("38%", "38%", True),
        ("38", "38%", True),
        ("50%", "50.0%", True),
        ("  Yes\n", "yes", True),
        ("no", "yes", False),
        ("38.1%", "38%", False),
        ("1.5; 2", "1.50; 2.0", True),
        ("2; 1.5", "1.5; 2", False),
        ("It is 38 of 100", "38", False),
        ("1e-3", "0.001", True),
        ("", "0", False),
    ],
)
def test_coda(answer: str, truth: str, right: bool) -> None:
    assert coda(answer, truth) is right


def test_an_answer_is_judged_by_the_rule_it_belongs_to() -> None:
    assert passes(Reference("34.65", "dabench", "mean"), "It is @mean[34.65].")
    assert not passes(Reference("34.65", "dabench", "mean"), "It is 34.65.")
    assert passes(Reference("3, 1", "dabstep"), "Some words.\nFinal answer: 1, 3")
    assert passes(Reference("38%", "coda"), "Some words.\nFinal answer: 38")
    assert not passes(Reference("", "dabstep"), "")
