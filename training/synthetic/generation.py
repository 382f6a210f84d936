"""Conversations from a platform of its own: schemas are loaded, asked and dropped, some at once."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from dev.assembly import Platform, platform
from dev.console import Board
from dev.home import Home
from dev.settings import Settings
from isobath_client import IsobathError
from isobath_client.aio.client import AsyncIsobath
from isobath_client.records import line
from servicekit.ports import free_ports
from training.evaluation.dataset import Domain
from training.evaluation.loading import load, unload
from training.evaluation.results import Result
from training.evaluation.run import Asked, Manner, answered
from training.synthetic.domains import domain, form_of
from training.synthetic.ledger import Ledger
from training.synthetic.themes import Part

_TELL_S = 10.0
# how many wrong answers are enough to give up where none is right
_HOPELESS = 60


class Hopeless(RuntimeError):
    """Nothing that was answered is right."""


@dataclass(frozen=True)
class Plan:
    """`conversations` that are right, in the end; `at_once` schemas are there at a time."""

    part: Part
    seed: int
    conversations: int
    questions: int
    at_once: int


async def generated(
    plan: Plan, ledger: Ledger, settings: Settings, given: Mapping[str, str], console: Console
) -> None:
    """Until the ledger has them. Raises Hopeless, and what a platform raises that does not start;
    schemas that were asked to their end are kept whatever happens."""
    if ledger.tally.right >= plan.conversations:
        return
    settings = replace(settings, engine="rules", http_port=free_ports(1)[0], grpc_port=None)
    # a kernel for each question that is asked, started before it is
    given = {"ISOBATH_SANDBOX_WARM": str(plan.at_once), **given}
    with TemporaryDirectory(prefix="isobath-synthetic-") as own:
        async with AsyncExitStack() as stack:
            board = Board(console)
            with board.live():
                running = await stack.enter_async_context(
                    platform(settings, Home(Path(own)), board, given)
                )
            await _Generation(plan, ledger, running, Progress(plan, ledger, console)).run()


class Progress:
    """Told from time to time."""

    def __init__(self, plan: Plan, ledger: Ledger, console: Console) -> None:
        self._plan, self._ledger, self._console = plan, ledger, console
        self._begun = self._last = time.monotonic()
        self._before = ledger.tally.right

    def tell(self) -> None:
        now, tally = time.monotonic(), self._ledger.tally
        if now - self._last < _TELL_S and tally.right < self._plan.conversations:
            return
        self._last = now
        rate = (tally.right - self._before) / (now - self._begun)
        left = (self._plan.conversations - tally.right) / rate if rate else 0.0
        self._console.print(
            f"{tally.right} of {self._plan.conversations} conversations, {tally.wrong.total()} "
            f"wrong, {rate * 60:.0f} a minute, {left / 60:.0f} min to go",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


class _Generation:
    def __init__(self, plan: Plan, ledger: Ledger, running: Platform, progress: Progress) -> None:
        self._plan, self._ledger, self._progress = plan, ledger, progress
        self._running = running
        self._numbers = self._rest()

    def _rest(self) -> Iterator[int]:
        """Schemas that are not asked yet, while more conversations are wanted."""
        for number in itertools.count():
            if self._missing <= 0:
                return
            if number not in self._ledger.tally.numbers:
                yield number

    @property
    def _missing(self) -> int:
        return self._plan.conversations - self._ledger.tally.right

    async def run(self) -> None:
        address, key = self._running.ports.address("gateway"), self._running.key.reveal()
        async with AsyncIsobath(address, api_key=key) as client, asyncio.TaskGroup() as group:
            for _ in range(self._plan.at_once):
                group.create_task(self._work(client))

    async def _work(self, client: AsyncIsobath) -> None:
        for number in self._numbers:
            plan = self._plan
            made = await asyncio.to_thread(domain, plan.part, plan.seed, number, plan.questions)
            await load(self._running.parts, [made])
            try:
                await self._ask(client, number, made)
            finally:
                await unload(self._running.parts, made)

    async def _ask(self, client: AsyncIsobath, number: int, made: Domain) -> None:
        lines, wrong = list[str](), dict[str, str]()
        for question in made.questions:
            asked = Asked(self._plan.part, made, question)
            result = await answered(client, asked, Manner())
            record = await _record(client, result) if result.run_id else ""
            if result.right and record:
                lines.append(record)
            else:
                wrong[form_of(question)] = result.cause or "no record"
        self._ledger.add(number, lines[: max(0, self._missing)], wrong)
        self._progress.tell()
        tally = self._ledger.tally
        if not tally.right and tally.wrong.total() >= _HOPELESS:
            causes = ", ".join(f"{cause} ({count})" for cause, count in tally.wrong.most_common(5))
            raise Hopeless(f"None of {tally.asked} answers is right: {causes}")


async def _record(client: AsyncIsobath, result: Result) -> str:
    """The run as training reads it; with its thread it goes from the platform. Empty where none
    was kept."""
    try:
        record = await client.runs.conversation(result.run_id)
    except IsobathError:
        return ""
    await client.threads.remove(record.thread_id)
    return line(record)
