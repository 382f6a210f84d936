"""Questions of schemas that were not trained on, asked of a checkpoint, or of the rules engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from dev.settings import Settings
from training.evaluation.ledger import Header, ledger
from training.evaluation.results import Result
from training.evaluation.run import Asked, Manner, evaluated
from training.study.marks import Marks, marks
from training.synthetic.domains import domain
from training.synthetic.schemas import schema
from training.synthetic.themes import Part

HELD = (Part.KIN, Part.STRANGE)
# a model that has learned little writes without end
_BOUNDS = {"ROUNDS": "4", "TOKENS": "6000", "RUN_S": "300"}
_VLLM = {
    "PROTOCOL": "native",
    "VLLM_ADAPTERS": "0",
    "VLLM_ENFORCE_EAGER": "true",
    # a small model, and few questions at a time: most of the memory stays free
    "VLLM_GPU_MEMORY_FRACTION": "0.2",
}
# GiB; on a CPU it would be most of the machine's memory otherwise
_CACHE = {"VLLM_CPU_KVCACHE_SPACE": "1"}


@dataclass(frozen=True)
class Held:
    """What is asked; `named`: the columns that a question names, by its id."""

    asked: Sequence[Asked]
    named: Mapping[str, frozenset[str]]


def held(seed: int, count: int) -> Held:
    """So many questions of each of the parts that are held out, three of a schema."""
    asked, named = list[Asked](), dict[str, frozenset[str]]()
    for part in HELD:
        found = [
            (number, made, question)
            for number in range(-(-count // 3))
            for made in [domain(part, seed, number, 3)]
            for question in made.questions
        ]
        for number, made, question in found[:count]:
            asked.append(Asked(part, made, question))
            columns = (c for t in schema(part, seed, number).tables for c in t.columns)
            named[question.id] = frozenset(c.name for c in columns if c.words in question.text)
    return Held(asked, named)


@dataclass(frozen=True)
class Asker:
    """Asks all of them of a platform that is started for it; answers lie in `output` too."""

    held: Held
    settings: Settings
    given: Mapping[str, str]
    at_once: int
    console: Console

    async def rules(self, output: Path) -> dict[str, Marks]:
        """Marks of the rules engine, by part."""
        return await self._asked(replace(self.settings, engine="rules"), output, {})

    async def checkpoint(self, folder: Path, python: Path, output: Path) -> dict[str, Marks]:
        """Marks of a model's folder, an absolute path, served with vLLM by its interpreter."""
        settings = replace(self.settings, engine="vllm", model=str(folder), vllm_python=python)
        own = {f"ISOBATH_INFERENCE_{name}": value for name, value in _VLLM.items()}
        return await self._asked(settings, output, own)

    async def _asked(
        self, settings: Settings, output: Path, own: Mapping[str, str]
    ) -> dict[str, Marks]:
        bounds = {f"ISOBATH_GATEWAY_{name}": value for name, value in _BOUNDS.items()}
        manner = Manner(at_once=self.at_once, temperature=0.0)
        with ledger(output, Header(settings.engine, settings.model)) as told:
            results = await evaluated(
                settings, {**bounds, **_CACHE, **own, **self.given}, self.held.asked,
                manner=manner, console=self.console, told=told,
            )  # fmt: skip
        return self._marks(results)

    def _marks(self, results: Sequence[Result]) -> dict[str, Marks]:
        of_parts = {part: [each for each in results if each.part == part] for part in HELD}
        return {part.value: marks(each, self.held.named) for part, each in of_parts.items()}
