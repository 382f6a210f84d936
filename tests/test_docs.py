"""What the documents say exists: settings, links, targets, commands."""

import re
from pathlib import Path

import pytest

from dev import api_reference
from dev.api_reference import document as openapi_document
from dev.examples import examples
from dev.reference import contracts, http
from dev.reference.markdown import fields
from dev.settings_reference import PAGE, page
from isobath_client.cli import app

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "training/README.md",
]


def test_configuration_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run `python -m dev.settings_reference`"


def test_api_page_is_fresh() -> None:
    assert api_reference.PAGE.read_text() == api_reference.page(), "run `make api-docs`"


def test_operation_or_method_without_example_says_where_to_add_it() -> None:
    told = openapi_document()
    get = told["paths"]["/health"]["get"]
    new = {"/v1/new": {"get": {**get, "operationId": "getNew"}}}
    with pytest.raises(http.Missing, match=r"GET /v1/new .*`- of: getNew` in docs/examples/http"):
        http.family({**told, "paths": new}, {"name": "platform", "description": ""})
    for service in contracts.services():
        for method in service.methods:
            with pytest.raises(http.Missing, match=rf"{method.name} .*docs/examples/grpc\.yaml"):
                contracts.method(method, {})


def test_what_is_taken_has_a_meaning() -> None:
    told = openapi_document()
    bodies = [
        content["schema"]["$ref"].rsplit("/", 1)[-1]
        for _, _, each in http.operations(told)
        for content in each.get("requestBody", {}).get("content", {}).values()
    ]
    for name in [*bodies, "Message", "InputItem", "Selection", "ArtifactsTo"]:
        for field, _, meaning in fields(told["components"]["schemas"][name]):
            assert meaning, f"{name}.{field} in services/gateway/http/reference/bodies.py"


def test_examples_are_of_what_is_there() -> None:
    known = {told["operationId"] for _, _, told in http.operations(openapi_document())}
    assert {example.of for example in examples("http")} == known
    methods = {
        f"{each.full_name}/{method.name}"
        for each in contracts.services()
        for method in each.methods
    }
    assert {example.of for example in examples("grpc")} == methods


def test_links_within_the_api_page_lead_somewhere() -> None:
    text = api_reference.PAGE.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    there = slugs | set(re.findall(r'<a id="([^"]+)">', text))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= there


def test_every_setting_has_a_meaning() -> None:
    assert [line for line in page().splitlines() if line.endswith("|  |")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
        assert "://" in link or (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_and_modules_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = document.read_text()
    for target in re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
    # but for those of another project
    for module in re.findall(r"python -m (?!axolotl\.)([a-z_.]+)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_commands_of_the_documents_exist() -> None:
    names = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    groups = {group.name for group in app.registered_groups}
    for document in DOCUMENTS:
        for word in re.findall(r"`isobath ([a-z]+)", document.read_text()):
            assert word in names | groups, word
