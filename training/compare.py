"""What two models, or a model and its adapter, say next in recorded conversations."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dev.ending import run
from isobath.inference.v1 import inference_pb2 as pb
from servicekit.channels import faults, streaming
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from training.data.conversation import Turn, read
from training.serving import comparing, replicas
from training.serving.comparing import Asked, Compared, Said
from training.serving.operator import Operator, operator
from training.serving.replicas import Failure, NotDone, Replica
from training.unusable import Unusable

_ROLES = {
    "system": pb.ROLE_SYSTEM,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "execute": pb.ROLE_EXECUTE,
}


def compare(
    prompts: Annotated[
        Path, typer.Option(help="Conversations: messages.jsonl of a split that nothing saw.")
    ],
    models: Annotated[
        str, typer.Option(help="What to ask, with commas between; the first is held against.")
    ],
    output: Annotated[Path, typer.Option(help="The folder for report.md and report.json.")],
    inference: Annotated[
        str, typer.Option(help="The inference service. ISOBATH_OPERATOR_INFERENCE without.")
    ] = "",
    conversations: Annotated[int, typer.Option(help="Of the file at most.", min=1)] = 50,
    turns: Annotated[int, typer.Option(help="In all at most.", min=1)] = 200,
    max_tokens: Annotated[int, typer.Option(help="Of one turn.", min=1)] = 2048,
    at_once: Annotated[int, typer.Option(help="Turns that are asked together.", min=1)] = 4,
    wait: Annotated[float, typer.Option(help="Seconds for one turn.")] = 300.0,
) -> None:
    """Ask models for the next turns of recorded conversations, and tell where they part.

    Each turn is asked with what was recorded before it, greedily. The report holds what was
    recorded and said: keep it as you keep the data.

    The names are those of ListModels: a model's own, or its adapters'. Who calls: as for
    python -m training.push.
    """
    console = Console(soft_wrap=True, highlight=False)
    names = list(dict.fromkeys(each.strip() for each in models.split(",") if each.strip()))
    if len(names) < 2:
        raise typer.BadParameter("--models expects two names or more, with commas between")
    try:
        where = operator(os.environ, inference)
        if not where.inference:
            raise typer.BadParameter("give --inference, or set ISOBATH_OPERATOR_INFERENCE")
        found = read(prompts, conversations)
    except (SettingsError, Unusable, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    asked = list(islice((turn for each in found for turn in comparing.turns(each)), turns))
    if not asked:
        raise typer.BadParameter(f"no message in {prompts} has train: true")
    asking = _Asking(names, max_tokens, wait, at_once, console)
    raise typer.Exit(run(_compare(where, asked, asking, output), console))


class _Asking:
    """How turns are asked."""

    def __init__(
        self, models: Sequence[str], max_tokens: int, wait: float, at_once: int, console: Console
    ) -> None:
        self.models, self.max_tokens, self.wait = models, max_tokens, wait
        self.slots = asyncio.Semaphore(at_once)
        self.console = console
        self._done = 0

    async def compared(self, replica: Replica, asked: Sequence[Asked]) -> list[Compared]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(replica, each, len(asked))) for each in asked]
        return [task.result() for task in tasks]

    async def _one(self, replica: Replica, asked: Asked, all_: int) -> Compared:
        async with self.slots:
            # one after the other: beside each other they would share what makes tokens fast
            said = {model: await self._said(replica, model, asked.before) for model in self.models}
        self._done += 1
        if self._done % 10 == 0 or self._done == all_:
            self.console.print(f"{self._done} of {all_} turns")
        return Compared(asked, said)

    async def _said(self, replica: Replica, model: str, before: Sequence[Turn]) -> Said:
        request = pb.GenerateRequest(
            model=model,
            messages=[pb.Message(role=_ROLES[each.role], content=each.content) for each in before],
            sampling=pb.Sampling(temperature=0, max_tokens=self.max_tokens),
            stop_after_code=True,
        )
        begun, text, tokens = time.perf_counter(), "", 0
        try:
            async with streaming(replica.stub.Generate(request, timeout=self.wait)) as call:
                async for event in faults(call):
                    text += event.delta.text
                    if event.HasField("completion"):
                        tokens = event.completion.usage.completion_tokens
        except RemoteFault as fault:
            # such as one that does not fit the context: the others are compared all the same
            return Said("", 0, 0.0, f"{fault.reason}: {fault.message}")
        return Said(text, tokens, time.perf_counter() - begun)


async def _compare(where: Operator, asked: Sequence[Asked], asking: _Asking, output: Path) -> int:
    async with replicas.reached(where) as found:
        await _require(found[0], asking.models)
        asking.console.print(f"{len(asked)} turns, each by {', '.join(asking.models)}")
        compared = await asking.compared(found[0], asked)
    await asyncio.to_thread(_write, output, compared, asking.models)
    for model in asking.models:
        told = comparing.totals(compared, model, asking.models[0])
        asking.console.print(
            f"{model}: {told.as_recorded} of {told.turns} as recorded, "
            f"{told.as_first} as {asking.models[0]}, {told.tokens:.0f} tokens a turn, "
            f"{told.tokens_per_second:.1f} tokens/s, {told.failed} failed"
        )
    asking.console.print(f"report in {output / 'report.md'}")
    return 1 if all(said.failed for each in compared for said in each.said.values()) else 0


async def _require(replica: Replica, names: Sequence[str]) -> None:
    """Raises NotDone for a name that is not served: each turn would fail with it."""
    served = [each.id for each in (await replicas.models([replica]))[replica.address]]
    if missing := [name for name in names if name not in served]:
        remedy = f"It serves {', '.join(served)}. An adapter is loaded by python -m training.push."
        why = Failure(replica.address, f"does not serve {', '.join(missing)}", remedy)
        raise NotDone("not all models can be asked", [why])


def _write(output: Path, compared: Sequence[Compared], models: Sequence[str]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.md").write_text(comparing.markdown(compared, models))
    told = json.dumps(comparing.report(compared, models), ensure_ascii=False, indent=1)
    (output / "report.json").write_text(told + "\n")


if __name__ == "__main__":
    typer.run(compare)
