"""`make train-smoke`: train on the examples, merge, serve, and ask the platform."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from dev.console import Board
from dev.ending import run
from training.examples.__main__ import DATA
from training.examples.task import tasks
from training.smoke.answers import asked, serving
from training.smoke.commands import Trainer, losses, part

# of the sample company, and short
HANDFUL = ("shop-delivery-times", "shop-phone-orders", "shop-newcomers")
# Over all examples the loss has to fall by that share, and over the handful to nearly nothing: a
# token is then certain, and the text is what was learned.
_FALLS, _CERTAIN = 0.2, 0.05
# fmt: off
_ALL = ("--epochs", "2", "--batch", "4", "--held-out", "0.2")
_HANDFUL = ("--epochs", "110", "--batch", "1", "--every", "1000", "--scheduler", "linear")
_BOTH = (
    "--accumulation", "1", "--rank", "64", "--alpha", "64", "--learning-rate", "1e-2",
    "--no-gradient-checkpointing",
)
# fmt: on


class NotLearned(RuntimeError):
    """What was to be shown was not."""


def smoke(
    training_python: Annotated[Path, typer.Option(help="Of dev/training_env.sh.")] = Path(
        ".venv-training/bin/python"
    ),
    vllm_python: Annotated[Path, typer.Option(help="Of dev/vllm_env.sh.")] = Path(
        ".venv-vllm/bin/python"
    ),
    output: Annotated[Path | None, typer.Option(help="Keep what is made in this folder.")] = None,
) -> None:
    """Make a random model, train it, and have the platform answer with it, on a CPU.

    The loss falls over all examples; a handful of them is learned word by word; the adapter is
    merged and served by vLLM through the inference service; and the platform, asked the questions
    of that handful in a chat, gives their answers, running their programs on the real data.
    """
    console = Console(soft_wrap=True, highlight=False)
    with TemporaryDirectory(prefix="isobath-smoke-") as own:
        folder = (output or Path(own)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        main = _main(Trainer(training_python.absolute(), folder), vllm_python.absolute(), console)
        code = run(main, console)
    raise typer.Exit(code)


async def _main(trainer: Trainer, vllm: Path, console: Console) -> int:
    board = Board(console)
    with board.live():
        data = trainer.folder / "handful.jsonl"
        handful = part(DATA, HANDFUL, data)
        merged = await _trained(trainer, data, board)
        await _answered(merged, vllm, handful, board)
    return 0


async def _trained(trainer: Trainer, data: Path, board: Board) -> Path:
    """Raises NotLearned."""
    with board.step("base", "a random model"):
        base = await trainer.base(DATA)
    with board.step("all examples", "two epochs"):
        adapter = await trainer.adapter("all", base, DATA, *_ALL, *_BOTH)
    found, held = losses(adapter), losses(adapter, held_out=True)
    told = f"loss from {found[0]:.2f} to {found[-1]:.2f}, held out {held[0]:.2f} to {held[-1]:.2f}"
    board.say(f"all examples: {told}")
    if found[-1] > found[0] * (1 - _FALLS) or held[-1] >= held[0]:
        raise NotLearned(f"{told}: that is too little")
    with board.step("handful", f"{len(HANDFUL)} conversations, word by word"):
        adapter = await trainer.adapter("handful", base, data, *_HANDFUL, *_BOTH)
    found = losses(adapter)
    board.say(f"handful: loss from {found[0]:.2f} to {found[-1]:.4f}")
    if found[-1] > _CERTAIN:
        raise NotLearned(f"the loss of a handful is still {found[-1]:.3f}")
    with board.step("merge", "adapter and base"):
        return await trainer.merged(base, adapter, data)


async def _answered(
    model: Path, python: Path, handful: Sequence[Mapping[str, Any]], board: Board
) -> None:
    """Raises NotLearned."""
    known = {each.id: each for each in tasks()}
    async with AsyncExitStack() as stack:
        started = time.monotonic()
        running = await stack.enter_async_context(serving(model, python, board))
        board.say(f"platform with vLLM: {time.monotonic() - started:.0f} s")
        for wanted in handful:
            with board.step("chat", wanted["id"]):
                found = await asked(running, wanted["id"], known[wanted["id"]].asks[0])
            if difference := found.difference(wanted):
                raise NotLearned(difference)
            board.say(f"{found.id}: {found.rounds} programs, and the answer word by word")


if __name__ == "__main__":
    typer.run(smoke)
