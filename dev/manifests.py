"""What the overlays and components in k8s/ give when kubectl renders them.

    python -m dev.manifests FOLDER

writes every document that any combination of them gives into FOLDER, once, for tools that look over
manifests.
"""

import argparse
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dev.kubectl import usable

K8S = Path(__file__).resolve().parent.parent / "k8s"
OVERLAYS = ("local", "cpu", "gpu", "azure")
# one of each at most
CHOICES = (
    frozenset({"cert-manager", "plaintext"}),
    frozenset({"postgres", "outside-state"}),
    frozenset({"azurite", "outside-state"}),
    frozenset({"model-over-nodes", "model-server-cpu", "model-server-outside", "vllm"}),
    # only vLLM within the inference service has any
    frozenset({"adapters", "model-over-nodes", "model-server-cpu", "model-server-outside"}),
    frozenset({"sandbox-namespaces", "sandbox-pods"}),
    # the one in a pod has a certificate and no other way to be known
    frozenset({"plaintext", "sandbox-pods"}),
)
# what a component needs beside it
NEEDS: Mapping[str, tuple[str, ...]] = {
    "adapters": ("model-weights", "vllm"),
    "keda": ("monitoring",),
    "model-over-nodes": ("model-weights",),
    "model-server-cpu": ("model-weights",),
    "vllm": ("model-weights",),
}
Document = dict[str, Any]
NO_KUBECTL = "no kubectl that knows components: `python -m dev.kubectl` installs one into .venv"


@dataclass(frozen=True)
class Combination:
    """An overlay, with components added."""

    overlay: str
    added: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join((self.overlay, *self.added))


class CannotRender(Exception):
    """kubectl refused; the text is its own."""


def components_of(folder: Path) -> tuple[str, ...]:
    """Names of the components that a kustomization takes in by itself, or by what it builds on."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    bases = [folder / each for each in told.get("resources", ()) if (folder / each).is_dir()]
    inherited = [name for base in bases for name in components_of(base)]
    return (*inherited, *(Path(each).name for each in told.get("components", ())))


def components() -> tuple[str, ...]:
    return tuple(sorted(path.name for path in (K8S / "components").iterdir() if path.is_dir()))


def combinations() -> Iterator[Combination]:
    """Each overlay alone and with as many components as go together; and each component alone, with
    the first overlay that takes it."""
    alone: set[str] = set()
    for overlay in OVERLAYS:
        there = components_of(K8S / "overlays" / overlay)
        fitting = [each for each in components() if _fits(each, there)]
        yield Combination(overlay)
        for each in fitting:
            if each not in alone:
                alone.add(each)
                yield Combination(overlay, _needed(each, there))
        for kept in _as_many_as_go(fitting, there):
            yield Combination(overlay, kept)


def _fits(component: str, beside: Sequence[str]) -> bool:
    """Neither there already, nor a choice that was made otherwise."""
    return component not in beside and not any(
        component in choice and choice & set(beside) for choice in CHOICES
    )


def _needed(component: str, beside: Sequence[str]) -> tuple[str, ...]:
    more = (each for each in NEEDS.get(component, ()) if each not in beside)
    return (*more, component)


def _as_many_as_go(fitting: Sequence[str], beside: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All that can be taken at once, so often that each side of every choice was."""
    chosen = [each for each in fitting if any(each in choice for choice in CHOICES)]
    free = [each for each in fitting if each not in chosen]
    seen = set()
    for first in chosen or free[:1]:
        taken: list[str] = []
        for each in (first, *chosen, *free):
            if _fits(each, (*beside, *taken)):
                taken += (more for more in _needed(each, beside) if more not in taken)
        if len(taken) > 1 and frozenset(taken) not in seen:
            seen.add(frozenset(taken))
            # what builds on another comes behind it
            yield tuple(sorted(taken, key=lambda each: (each in NEEDS, each)))


@functools.cache
def rendered(combination: Combination) -> tuple[Document, ...]:
    """Raises CannotRender."""
    found = usable()
    if found is None:
        raise CannotRender(NO_KUBECTL)
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        given = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [_from(folder, K8S / "overlays" / combination.overlay)],
            "components": [_from(folder, K8S / "components" / each) for each in combination.added],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(given))
        done = subprocess.run(
            [found, "kustomize", folder], capture_output=True, text=True, check=False, timeout=120
        )
    if done.returncode or done.stderr:
        raise CannotRender(f"{combination}: {done.stderr}")
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def _from(folder: str, path: Path) -> str:
    return os.path.relpath(path.resolve(), Path(folder).resolve())


def of_kind(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    return (each for each in documents if each["kind"] in kinds)


def name_of(document: Document) -> str:
    """Kind, namespace and name, as people write them."""
    metadata = document["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{document['kind']} {place}{metadata['name']}"


def without_hash(name: str) -> str:
    """Of a ConfigMap or Secret that kustomize named by its content."""
    return re.sub(r"-[a-z0-9]{10}$", "", name)


def distinct(among: Iterable[Combination]) -> list[Document]:
    """Each document once, in however many combinations it stands."""
    every = (document for combination in among for document in rendered(combination))
    return list({json.dumps(each, sort_keys=True): each for each in every}.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    found = distinct(combinations())
    (folder / "manifests.yaml").write_text(yaml.safe_dump_all(found))
    print(f"{folder}: {len(found)} documents")


if __name__ == "__main__":
    main()
