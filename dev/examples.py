"""The worked examples of docs/api.md: read, run on a running platform, and kept for the page.

`docs/examples/http.yaml` has a shell command for each operation, `grpc.yaml` lines of Python for
each method; `docs/examples/answers/` has what came. `python -m dev.examples` runs them all on a
running `make up` ($ISOBATH_HOME) and writes the answers anew.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from dev.shown import STREAM, difference, events, firsts, stream_difference, trimmed

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"
PREAMBLE = FOLDER / "preamble.py"
GRPC = "application/grpc"
# asked for again so long, where what is to be kept of the answer is not there yet
PATIENCE_S = 60.0
# what curl says of the answer goes beside it, so that the command is run as the page shows it
_CURLRC = 'silent\nshow-error\nwrite-out = "%{stderr}%{http_code} %{content_type}"\n'


@dataclass(frozen=True)
class Example:
    """`of` is an operation's id or a method's full name; `name` is that of the answer's file."""

    name: str
    of: str
    run: str
    title: str = ""
    status: int = 200
    keeps: Mapping[str, str] = field(default_factory=dict)
    # what lies deeper is not shown
    depth: int = 8


@dataclass(frozen=True)
class Answer:
    """As much of it as the page shows. `body` is JSON's value or text; of a `stream`, events."""

    media_type: str
    body: Any
    status: int = 200
    stream: bool = False
    # all that came; it is not kept
    whole: Any = field(default=None, repr=False, compare=False)

    def differences(self, came: "Answer") -> Iterator[str]:
        """Where what came is of another shape than this."""
        if (self.status, self.media_type) != (came.status, came.media_type):
            yield f"{came.status} {came.media_type}, where {self.status} {self.media_type} is shown"
        compare = stream_difference if self.stream else difference
        yield from compare(self.body, came.body)


class ExampleFailed(RuntimeError):
    """A command, or lines of Python, that did not give what they should."""


def examples(file: str) -> list[Example]:
    """Of "http" or "grpc", in the order in which they are run."""
    seen: Counter[str] = Counter()
    found = []
    for each in yaml.safe_load((FOLDER / f"{file}.yaml").read_text()):
        short = each["of"].rsplit(".", 1)[-1].replace("/", ".")
        seen[short] += 1
        number = "" if seen[short] == 1 else f"-{seen[short]}"
        found.append(Example(name=short + number, **each))
    return found


def kept(example: Example) -> Answer | None:
    """The answer that the page shows."""
    path = _path(example)
    return Answer(**json.loads(path.read_text())) if path.is_file() else None


def keep(example: Example, answer: Answer) -> None:
    """Write it for the page."""
    path = _path(example)
    path.parent.mkdir(exist_ok=True)
    raw = {name: value for name, value in vars(answer).items() if name != "whole"}
    path.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")


def _path(example: Example) -> Path:
    return FOLDER / "answers" / f"{example.name}.json"


class Shell:
    """Runs commands in a folder, as somebody does who reads the page."""

    def __init__(self, folder: Path, url: str, key: str) -> None:
        self._folder = folder
        self._variables = {"ISOBATH": url, "KEY": key}
        (folder / ".curlrc").write_text(_CURLRC)

    def run(self, example: Example) -> Answer:
        """Raises `ExampleFailed`."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, media_type, text = self._once(example)
            whole = json.loads(text) if media_type.endswith("json") and status != 206 else text
            try:
                self._variables |= {n: _at(whole, path) for n, path in example.keeps.items()}
            except LookupError as missing:
                if time.monotonic() > deadline:
                    raise ExampleFailed(f"{example.name}: there is no {missing}") from missing
                time.sleep(0.1)
                continue
            if media_type == STREAM:
                told = events(text)
                return Answer(STREAM, firsts(told, example.depth), status, True, told)
            return Answer(media_type, trimmed(whole, example.depth), status, whole=whole)

    def _once(self, example: Example) -> tuple[int, str, str]:
        environ = {
            "PATH": os.environ["PATH"],
            "CURL_HOME": str(self._folder),
            "no_proxy": "*",
            **self._variables,
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example.run],  # noqa: S607
            cwd=self._folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise ExampleFailed(f"{example.name}: {ran.stderr}")
        status, media_type = ran.stderr.split(" ", 1)
        if int(status) != example.status:
            raise ExampleFailed(f"{example.name}: {status}: {ran.stdout[:2000]}")
        return int(status), media_type.split(";")[0], ran.stdout


def _at(value: Any, path: str) -> str:
    """Raises `LookupError`."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return str(value)


class Lines:
    """Runs lines of Python, one after the other in one place; `reply` is what they leave."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._names: dict[str, Any] = {}
        self._folder = folder
        # where the preamble finds it
        (folder / ".isobath").symlink_to(home)
        self._exec(PREAMBLE.read_text(), str(PREAMBLE))

    def run(self, example: Example) -> Answer:
        """Raises `ExampleFailed`."""
        self._names.pop("reply", None)
        try:
            self._exec(example.run, example.name)
        except grpc.RpcError as refused:
            raise ExampleFailed(f"{example.name}: {refused}") from refused
        reply = self._names["reply"]
        if isinstance(reply, Message):
            return Answer(GRPC, trimmed(_told(reply), example.depth))
        told = firsts([_told(each) for each in reply], example.depth)
        return Answer(GRPC, told, stream=True)

    def _exec(self, lines: str, name: str) -> None:
        with contextlib.chdir(self._folder):
            exec(compile(lines, name, "exec"), self._names)  # noqa: S102

    def close(self) -> None:
        """The channel."""
        self._names["channel"].close()


def _told(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def answers(home: Path, folder: Path) -> Iterator[tuple[Example, Answer | ExampleFailed]]:
    """Run all on the platform of this home."""
    ready = json.loads((home / "ready.json").read_text())
    shell = Shell(folder, ready["http"], ready["api_key"])
    for example in examples("http"):
        yield example, _answer(shell, example)
    with contextlib.closing(Lines(home, folder)) as lines:
        for example in examples("grpc"):
            yield example, _answer(lines, example)


def _answer(runner: Shell | Lines, example: Example) -> Answer | ExampleFailed:
    try:
        return runner.run(example)
    except ExampleFailed as failed:
        return failed


def record(home: Path) -> None:
    """Keep what all of them give. Raises `ExampleFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        for example, answer in answers(home, Path(folder)):
            if isinstance(answer, ExampleFailed):
                raise answer
            keep(example, answer)
            print(example.name)


if __name__ == "__main__":
    record(Path(os.environ.get("ISOBATH_HOME", ".isobath")).absolute())
    sys.exit(0)
