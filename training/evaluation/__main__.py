"""`make eval`: the questions with known answers, asked of a platform that is started for it."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from dev.ending import run
from dev.settings import Engine, Settings
from servicekit.settings import SettingsError, load
from training.evaluation import apart, seen
from training.evaluation.run import Asked, causes, evaluated, scores, table, written


class Half(StrEnum):
    """`seen`: those that the rules were written with; `apart`: those that were kept from them."""

    SEEN = "seen"
    APART = "apart"
    ALL = "all"


class Engines(StrEnum):
    """As ISOBATH_ENGINE."""

    RULES = "rules"
    OPENAI = "openai"
    VLLM = "vllm"


def questions(half: Half, domains: list[str], ids: list[str]) -> list[Asked]:
    """Those that are asked for; none = all."""
    parts = {Half.SEEN: seen.DOMAINS, Half.APART: apart.DOMAINS}
    return [
        (part.value, domain, question)
        for part, makers in parts.items()
        if half in (part, Half.ALL)
        for domain in (make() for make in makers)
        if not domains or domain.name in domains
        for question in domain.questions
        if not ids or question.id in ids
    ]


def evaluate(
    engine: Annotated[Engines, typer.Option(help="Which engine answers.")] = Engines.RULES,
    half: Annotated[Half, typer.Option(help="Which questions.")] = Half.ALL,
    domain: Annotated[list[str] | None, typer.Option(help="Only these domains.")] = None,
    question: Annotated[list[str] | None, typer.Option(help="Only these questions.")] = None,
    at_least: Annotated[float, typer.Option(help="End with 1 below this share.")] = 0.0,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("evaluation"),
) -> None:
    """Ask each question of a platform of its own, and score the answers.

    For openai and vllm, ISOBATH_OPENAI_BASE_URL, ISOBATH_MODEL and the settings of the inference
    service are taken from the environment, as `make up` takes them.
    """
    console = Console()
    asked = questions(half, domain or [], question or [])
    if not asked:
        raise typer.BadParameter("no question is of that half, domain and id")
    try:
        environ = {**os.environ, "ISOBATH_ENGINE": engine.value}
        settings = replace(load(Settings, environ, prefix="ISOBATH_"), engine=cast(Engine, engine))
    except SettingsError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    main = _evaluate(settings, environ, asked, console, output, at_least)
    raise typer.Exit(run(main, console))


async def _evaluate(
    settings: Settings,
    given: Mapping[str, str],
    asked: list[Asked],
    console: Console,
    output: Path,
    at_least: float,
) -> int:
    results = await evaluated(settings, given, asked, console)
    found = scores(results)
    await asyncio.to_thread(written, results, output, f"Evaluation of {settings.engine}")
    for text in (table(found), causes(results), f"answers in {output / 'report.md'}"):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return 0 if found[-1].share >= at_least else 1


if __name__ == "__main__":
    typer.run(evaluate)
