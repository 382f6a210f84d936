"""Pods that manifests make, and the settings that reach the services in them."""

import dataclasses
import importlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dev.manifests import Document, name_of, of_kind

SERVICES = (
    "gateway",
    "credentials",
    "pg_connector",
    "blob_connector",
    "file_connector",
    "sandbox",
    "inference",
)
_OWN = "isobath/"


@dataclass(frozen=True)
class Workload:
    """What makes pods, and the template of those. `pod` is their spec."""

    document: Document
    template: Document

    @property
    def name(self) -> str:
        """Of its pods: one object may make pods of several kinds."""
        return str(self.labels["app.kubernetes.io/name"])

    @property
    def namespace(self) -> str:
        return str(self.document["metadata"]["namespace"])

    @property
    def pod(self) -> Document:
        return typing.cast(Document, self.template["spec"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template.get("metadata", {}).get("labels", {}))

    @property
    def main(self) -> Document:
        return typing.cast(Document, self.pod["containers"][0])

    @property
    def containers(self) -> list[Document]:
        return [*self.pod["containers"], *self.pod.get("initContainers", ())]

    @property
    def service(self) -> str | None:
        """Which of our services runs in it, by its image; None for another's, or another command."""
        if "command" in self.main:
            return None
        image = self.main["image"].rpartition(":")[0]
        if not image.startswith(_OWN):
            return None
        name = image.removeprefix(_OWN).replace("-", "_")
        return next(
            (each for each in SERVICES if name == each or name.startswith(f"{each}_")), None
        )

    @property
    def endless(self) -> bool:
        """It serves, and does not end by itself."""
        return self.document["kind"] not in ("Job", "CronJob")

    def __str__(self) -> str:
        return name_of(self.document)


def workloads(documents: Sequence[Document]) -> list[Workload]:
    return [
        Workload(document, template) for document in documents for template in _templates(document)
    ]


def _templates(document: Document) -> Iterator[Document]:
    spec = document.get("spec", {})
    match document["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job":
            yield spec["template"]
        case "CronJob":
            yield spec["jobTemplate"]["spec"]["template"]
        case "LeaderWorkerSet":
            yield spec["leaderWorkerTemplate"]["leaderTemplate"]
            yield spec["leaderWorkerTemplate"]["workerTemplate"]
        case "SandboxTemplate":
            yield spec["podTemplate"]


def environment(workload: Workload, documents: Sequence[Document]) -> dict[str, str]:
    """What the main container finds, without what comes out of Secrets."""
    maps = {
        (each["metadata"].get("namespace"), each["metadata"]["name"]): each.get("data", {})
        for each in of_kind(documents, "ConfigMap")
    }
    found: dict[str, str] = {}
    for source in workload.main.get("envFrom", ()):
        found.update(maps[workload.namespace, source["configMapRef"]["name"]])
    for each in workload.main.get("env", ()):
        if "value" in each:
            found[each["name"]] = each["value"]
    return {name: value for name, value in found.items() if value}


def mounted(workload: Workload, path: str) -> Document | None:
    """The volume that holds this file of the main container."""
    for mount in workload.main.get("volumeMounts", ()):
        if PurePosixPath(path).is_relative_to(mount["mountPath"]):
            volumes = {each["name"]: each for each in workload.pod.get("volumes", ())}
            claims = workload.document.get("spec", {}).get("volumeClaimTemplates", ())
            volumes |= {each["metadata"]["name"]: each for each in claims}
            return volumes.get(mount["name"])
    return None


def settings_class(service: str) -> tuple[type[Any], str]:
    """And the prefix of its variables."""
    found = importlib.import_module(f"services.{service}.settings").Settings
    return found, f"ISOBATH_{service.upper()}_"


def variables(settings: type[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every variable of a service, with the type of its setting."""
    hints = typing.get_type_hints(settings)
    for each in dataclasses.fields(settings):
        name, hint = f"{prefix}{each.name.upper()}", hints[each.name]
        if dataclasses.is_dataclass(hint):
            yield from variables(typing.cast(type[Any], hint), f"{name}_")
        else:
            yield name, hint


def secret_values(documents: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, str]]:
    """By namespace and name."""
    return {
        (each["metadata"]["namespace"], each["metadata"]["name"]): dict(each["stringData"])
        for each in documents
        if each["kind"] == "Secret"
    }
