"""The Dockerfile, as its stages."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
# each target is an image; that with vLLM is built from an image that no test here has
SERVICES = {
    "gateway": "gateway",
    "credentials": "credentials",
    "pg-connector": "pg_connector",
    "blob-connector": "blob_connector",
    "file-connector": "file_connector",
    "sandbox": "sandbox",
    "inference": "inference",
}


@dataclass
class Stage:
    name: str
    base: str
    # (instruction, its words) in their order
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]

    def copied(self) -> dict[str, str]:
        """Each target of a COPY from another stage, and what is copied there as STAGE:PATH."""
        words = [value.split() for value in self.values("COPY")]
        given = [each for each in words if each[0].startswith("--from=")]
        return {to: f"{stage.removeprefix('--from=')}:{path}" for stage, path, to in given}

    def sources(self) -> list[str]:
        """Paths of the repository that it reads."""
        words = [value.split() for value in self.values("COPY")]
        return [path for each in words if not each[0].startswith("--from=") for path in each[:-1]]

    def environment(self) -> dict[str, str]:
        pairs = [word for value in self.values("ENV") for word in value.split()]
        return dict(pair.split("=", 1) for pair in pairs)

    def command(self, instruction: str) -> list[str]:
        """In its exec form."""
        (value,) = self.values(instruction)
        found: list[str] = json.loads(value[value.index("[") :])
        return found


def stages() -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    current = Stage("", "")
    for each in DockerfileParser(path=str(ROOT / "Dockerfile")).structure:
        if each["instruction"] == "FROM":
            base, _, name = each["value"].partition(" AS ")
            current = found.setdefault(name, Stage(name, base))
        elif each["instruction"] != "COMMENT":
            current.steps.append((each["instruction"], each["value"]))
    return found
