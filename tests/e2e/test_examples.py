"""Every worked example of docs/api.md, run on the whole platform and held against what the page
shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.examples import Answer, Example, ExampleFailed, answers, examples, kept
from tests.e2e.conftest import Platform

pytestmark = [pytest.mark.slow, pytest.mark.req("D1", "C3")]
ALL = [*examples("http"), *examples("grpc")]
Answers = dict[str, Answer | ExampleFailed]


@pytest.fixture(scope="module")
def came(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What all of them gave, by their names."""
    folder: Path = tmp_path_factory.mktemp("examples")
    yield {example.name: answer for example, answer in answers(platform.home, folder)}


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_example_gives_what_the_page_shows(example: Example, came: Answers) -> None:
    shown, answer = kept(example), came[example.name]
    assert isinstance(answer, Answer), answer
    assert shown is not None, "run `python -m dev.examples` beside `make up`, then `make api-docs`"
    differences = list(shown.differences(answer))
    assert not differences, f"{differences}: if that is meant, run `python -m dev.examples`"
