"""The question set keeps its own rules."""

from collections.abc import Callable
from functools import cache

import pytest

from training.evaluation import apart, seen, several
from training.evaluation.dataset import DATABASE, LAKE, Domain, Table
from training.evaluation.questions import NoQuestions, Part, chosen
from training.evaluation.scoring import Given, judged, missing
from training.evaluation.tables import Grid

MAKERS = [*seen.DOMAINS, *apart.DOMAINS, *several.DOMAINS]


@cache
def made(make: Callable[[], Domain]) -> Domain:
    return make()


@pytest.mark.req("T5")
def test_the_set_is_as_large_and_varied_as_it_has_to_be() -> None:
    domains = [made(make) for make in MAKERS]
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
    domain, again = made(make), make()
    assert domain.name == make.__module__.rpartition(".")[2]
    assert domain.files == again.files and domain.questions == again.questions
    assert all(frame.equals(again.tables[name]) for name, frame in domain.tables.items())
    assert all(path.startswith(f"{domain.name}/") for path in domain.files)
    assert sum(each.refuses for each in domain.questions) == 1
    for question in domain.questions:
        assert question.id.startswith(domain.name) and question.data
        assert bool(question.expects) != question.refuses
        assert missing(question, "") and missing(question, question.text), "nothing is no answer"
        for selection in question.data:
            source, _, what = selection.partition(":")
            assert source in (DATABASE, LAKE)
            if source == DATABASE:
                schema, _, name = what.partition(".")
                assert schema == domain.name and name in domain.tables
            else:
                assert what.startswith(f"{domain.name}/")


@pytest.mark.req("T5")
def test_questions_of_several_sources_need_both() -> None:
    domains = [made(make) for make in several.DOMAINS]
    told = [each for domain in domains for each in domain.questions if not each.refuses]
    assert len(told) >= 12
    for question in told:
        assert {selection.partition(":")[0] for selection in question.data} == {DATABASE, LAKE}, (
            question
        )
    tables = [each for question in told for each in question.expects if isinstance(each, Table)]
    assert len(tables) >= 3


@pytest.mark.parametrize(
    "make", several.DOMAINS, ids=lambda make: make.__module__.rpartition(".")[2]
)
def test_a_table_that_is_expected_passes_itself(make: Callable[[], Domain]) -> None:
    for question in made(make).questions:
        for wanted in question.expects:
            if isinstance(wanted, Table):
                rows = tuple(tuple(str(cell) for cell in row) for row in wanted.rows)
                assert judged(question, Given("", (Grid(wanted.columns, rows),))).right
                assert not judged(question, Given("", (Grid(wanted.columns, rows[:-1]),))).right


def test_questions_are_chosen() -> None:
    both = chosen(Part.SEVERAL, ["stock", "accounts"], [], None, None)
    assert {(each.part, each.domain.name) for each in both} == {
        ("several", "stock"),
        ("several", "accounts"),
    }
    (only,) = chosen(Part.ALL, ["web"], ["web-visitors"], None, None)
    assert (only.part, only.question.id) == ("seen", "web-visitors")
    with pytest.raises(NoQuestions):
        chosen(Part.APART, ["web"], [], None, None)
