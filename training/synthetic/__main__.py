"""Conversations of the rules engine over schemas that a seed gives, as records for training."""

import os
import resource
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dev.ending import run as run_to_end
from dev.settings import Settings
from servicekit.settings import SettingsError, load
from training.synthetic.domains import QUESTIONS
from training.synthetic.generation import Hopeless, Plan, generated
from training.synthetic.ledger import Header, Ledger, LedgerError, Tally, opened
from training.synthetic.themes import Part


def generate(
    output: Annotated[Path, typer.Option(help="The file of records to write.")],
    conversations: Annotated[
        int, typer.Option(min=1, help="How many; those with a wrong answer do not count.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of schemas, rows and questions.")] = 1,
    part: Annotated[
        Part,
        typer.Option(
            help="train; kin: other schemas of the same themes; strange: of themes that no schema "
            "of the others has."
        ),
    ] = Part.TRAIN,
    questions: Annotated[int, typer.Option(min=1, help="Of each schema, at most.")] = QUESTIONS,
    at_once: Annotated[int, typer.Option(min=1, help="Schemas at a time.")] = 2,
    resume: Annotated[bool, typer.Option(help="Go on with a file that is there.")] = False,
) -> None:
    """Start a platform of its own, load schemas, ask questions with known answers, and keep the
    records (isobath.run/1) of those that were answered right.

    What was asked of which schema stands beside the output, in OUTPUT.asked.
    """
    console = Console()
    plan = Plan(part, seed, conversations, questions, at_once)
    begun = time.monotonic()
    try:
        settings = load(Settings, os.environ, prefix="ISOBATH_")
        with opened(output, Header(part.value, seed, questions), resume=resume) as ledger:
            before = ledger.tally.right
            generating = _to_the_end(plan, ledger, settings, console)
            code = run_to_end(generating, console)
            told = _told(ledger.tally, ledger.tally.right - before, time.monotonic() - begun)
    except (SettingsError, LedgerError, Hopeless) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


async def _to_the_end(plan: Plan, ledger: Ledger, settings: Settings, console: Console) -> int:
    await generated(plan, ledger, settings, os.environ, console)
    return 0


def _told(tally: Tally, made: int, seconds: float) -> str:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    told = (
        f"{tally.right} conversations of {len(tally.numbers)} schemas; {tally.wrong.total()} wrong"
    )
    if made:
        told += (
            f"; {made} now in {seconds:.0f} s, {cpu / made:.2f} s of CPU each, the start of the "
            "platform with it"
        )
    return "\n".join([told, *(f"- {why}: {n}" for why, n in tally.wrong.most_common(12))])


if __name__ == "__main__":
    typer.run(generate)
