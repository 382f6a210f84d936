"""`python -m training.examples`: run the tasks, and write what the platform recorded."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dev.ending import run
from training.data.conversation import Conversation
from training.examples.conversation import lines
from training.examples.running import ran
from training.examples.task import Task, tasks
from training.examples.worlds import WORLDS

DATA = Path(__file__).parent / "azure_postgres.jsonl"


def examples(
    task: Annotated[list[str] | None, typer.Option(help="Only these; nothing is written.")] = None,
    show: Annotated[bool, typer.Option(help="Print the conversations.")] = False,
    output: Annotated[Path, typer.Option(help="The JSONL file to write.")] = DATA,
) -> None:
    """Start a platform on real parts, run every example on it, and write the conversations.

    Ends with 1, and writes nothing, where an answer lacks what is true of the data."""
    console = Console(stderr=True)
    chosen = [each for each in tasks() if not task or each.id in task]
    if not chosen:
        raise typer.BadParameter("no example has that id; they are the files of tasks/")
    raise typer.Exit(run(_main(chosen, None if task else output, console, show=show), console))


async def _main(chosen: list[Task], output: Path | None, console: Console, *, show: bool) -> int:
    names = {each.world for each in chosen}
    found = await ran(chosen, {name: WORLDS[name]() for name in names}, console)
    wrong = [each for each in found if each.lacks]
    for each in wrong:
        console.print(f"{each.task.id} lacks {'; '.join(each.lacks)}", style="red", markup=False)
    made = [each for one in found for each in one.conversations]
    if show:
        print("\n".join(map(_shown, made)))
    if output is not None and not wrong:
        await asyncio.to_thread(output.write_text, lines(made))
        console.print(f"{len(made)} conversations in {output}")
    return 1 if wrong else 0


def _shown(made: Conversation) -> str:
    turns = (f"---- {each.role}\n{each.content}" for each in made.turns)
    return "\n".join([f"======== {made.id}", *turns])


if __name__ == "__main__":
    typer.run(examples)
