"""What is rendered is what the API servers of several versions take, and what the operators do."""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate import utils

from dev.manifests import K8S, Document, distinct, name_of
from tests.k8s.conftest import ALL

# the oldest has all that the component sandbox-namespaces asks of a node
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
_BUILT_IN = (
    *("v1", "apps/v1", "batch/v1", "policy/v1", "autoscaling/v2", "networking.k8s.io/v1"),
    *("rbac.authorization.k8s.io/v1", "scheduling.k8s.io/v1", "node.k8s.io/v1"),
    *("admissionregistration.k8s.io/v1", "storage.k8s.io/v1"),
)


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


@pytest.mark.req("K1")
@pytest.mark.parametrize("version", VERSIONS)
def test_built_in_kinds_are_taken_by_kubernetes(version: str) -> None:
    problems = []
    for each in distinct(ALL):
        if each["apiVersion"] in _BUILT_IN:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except (kubernetes_validate.ValidationError, utils.SchemaNotFoundError) as exc:
                problems.append(f"{name_of(each)}: {exc}")
    assert not problems, "\n".join(problems)


@functools.cache
def schema(api_version: str, kind: str) -> dict[str, Any]:
    """Of an operator's kind, as k8s/schemas has it."""
    file = K8S / "schemas" / f"{api_version.replace('/', '_')}_{kind}.json"
    assert file.exists(), f"{file.name} is missing in k8s/schemas"
    found: dict[str, Any] = json.loads(file.read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.req("K1")
def test_kinds_of_operators_are_what_their_definitions_say() -> None:
    problems = []
    for each in distinct(ALL):
        if each["apiVersion"] not in _BUILT_IN:
            validator = jsonschema.Draft202012Validator(schema(each["apiVersion"], each["kind"]))
            problems += [
                f"{name_of(each)} {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
                for error in validator.iter_errors(each)
            ]
            problems += list(_pods_within(each))
    assert not problems, "\n".join(problems)


def _pods_within(document: Document) -> Iterator[str]:
    """Their templates of pods, as Kubernetes would take them."""
    for template in _templates(document):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **template}
        pod["metadata"] = {"name": "x", **template.get("metadata", {})}
        try:
            kubernetes_validate.validate(pod, VERSIONS[0], strict=True)
        except kubernetes_validate.ValidationError as exc:
            yield f"{name_of(document)}: {exc}"


def _templates(document: Document) -> Sequence[Document]:
    match document["kind"]:
        case "SandboxTemplate":
            return [document["spec"]["podTemplate"]]
        case "LeaderWorkerSet":
            within = document["spec"]["leaderWorkerTemplate"]
            return [within["leaderTemplate"], within["workerTemplate"]]
    return []
