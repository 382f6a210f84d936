"""Every worked example of docs/api.md, run on the whole platform and held against what the page
shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.examples import Answer, Example, ExampleFailed, answers, examples, kept
from dev.shown import STREAM
from tests.e2e.conftest import Platform
from tests.gateway.truth import answer_schema, operations, problem

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


@pytest.mark.parametrize("example", examples("http"), ids=lambda example: example.name)
def test_answer_is_what_the_openapi_document_says(example: Example, came: Answers) -> None:
    """All of it, from real parts; the gateway's own tests hold what doubles give."""
    answer = came[example.name]
    assert isinstance(answer, Answer), answer
    told = next(each for _, _, each in operations() if each["operationId"] == example.of)
    content = answer_schema(told, answer.status, answer.media_type)
    if answer.media_type == STREAM:
        lines = [each["data"] for each in answer.whole if each.get("data") != "[DONE]"]
        assert lines
        for line in lines:
            assert not problem(content["x-event"], line, exact=True)
    elif answer.media_type == "application/json":
        assert not problem(content["schema"], answer.whole, exact=True)
