"""The commands of training, each run as people run it, in the environment of training."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.child import OUR_PACKAGES, ROOT, Command, minimal_environment, start, tail


class CommandFailed(RuntimeError):
    """With the end of what it printed."""


@dataclass(frozen=True)
class Trainer:
    """`python` is that of the environment of training; what is made lies in `folder`."""

    python: Path
    folder: Path

    async def base(self, data: Path) -> Path:
        """A random model with words for these conversations."""
        made = self.folder / "base"
        await self._run("base", "-m", "training.smoke.base", data=data, output=made)
        return made

    async def adapter(self, name: str, model: Path, data: Path, *more: str) -> Path:
        """Trained by `training/lora.py`."""
        made = self.folder / name
        script = str(ROOT / "training" / "lora.py")
        await self._run(name, script, *more, model=model, data=data, output=made)
        return made

    async def merged(self, model: Path, adapter: Path, prompts: Path) -> Path:
        """One model, checked against both."""
        made = self.folder / "merged"
        named = {"model": model, "adapter": adapter, "output": made, "prompts": prompts}
        await self._run("merge", "-m", "training.merge", **named)
        return made

    async def _run(self, name: str, *arguments: str, **named: Path) -> None:
        """Raises CommandFailed. Cancelling ends it."""
        log = self.folder / f"{name}.log"
        options = [text for key, path in named.items() for text in (f"--{key}", str(path))]
        environment = minimal_environment(
            PYTHONPATH=OUR_PACKAGES, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false"
        )
        child = start(
            Command(
                arguments=[str(self.python), *arguments, *options],
                environment=environment,
                log=log,
                folder=self.folder,
            )
        )
        try:
            code = await child.wait()
        finally:
            await child.stop()
        if code != 0:
            raise CommandFailed(f"{name} ended with {code}\n{tail(log)}")


def losses(adapter: Path, *, held_out: bool = False) -> list[float]:
    """Of the steps, in order; or of what was held out, each time that it was measured."""
    column = "eval_loss" if held_out else "train_loss"
    with (adapter / "loss.csv").open(newline="") as rows:
        return [float(row[column]) for row in csv.DictReader(rows) if row[column]]


def part(data: Path, ids: Sequence[str], output: Path) -> list[Mapping[str, Any]]:
    """Those conversations of a file, also written to another. Raises LookupError."""
    every = {each["id"]: each for each in map(json.loads, data.read_text().splitlines())}
    if missing := [id for id in ids if id not in every]:
        raise LookupError(f"{data} has no {', '.join(missing)}")
    found = [every[id] for id in ids]
    output.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found))
    return found
