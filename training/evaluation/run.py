"""Ask the questions of a platform that is started for it, and tell what came back."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from dev.assembly import Platform, platform
from dev.console import Board
from dev.home import Home
from dev.settings import Settings
from isobath.analyst.v1.analyst_pb2 import RunRecord
from isobath_client import IsobathError
from isobath_client.aio.answers import AsyncTableFile
from isobath_client.aio.client import AsyncIsobath
from isobath_client.events import Cancelled, Event, Failed
from isobath_client.requests import Asking
from isobath_client.transcripts import transcript
from servicekit.ports import free_ports
from training.evaluation.dataset import Domain, Question, Table
from training.evaluation.loading import load
from training.evaluation.results import Failure, Program, Result, Used
from training.evaluation.scoring import Given, Verdict, judged
from training.evaluation.tables import Grid, of_csv

# of a table among a run's files; larger ones are no answer
_TABLE_BYTES = 1 << 20
_NONE = Verdict(("an answer",), 0.0)


@dataclass(frozen=True)
class Asked:
    """A question, its part and its domain, and which attempt at it this is."""

    part: str
    domain: Domain
    question: Question
    attempt: int = 1

    def unanswered(self) -> Result:
        """What there is before the answer."""
        return Result(self.part, self.domain.name, self.question, _NONE, attempt=self.attempt)


@dataclass(frozen=True)
class Manner:
    """How it is asked. `model`: by name, "" = the platform's own choice; `temperature`: None = the
    platform's; `home`: where the platform keeps its state, None = nowhere for long; `recorded` is
    given the record of each run, as training reads it."""

    at_once: int = 2
    model: str = ""
    temperature: float | None = None
    home: Path | None = None
    recorded: Callable[[RunRecord], None] | None = None

    def asking(self, question: Question) -> Asking:
        return Asking(
            data=question.data, max_rows=0, model=self.model, temperature=self.temperature
        )


async def evaluated(
    settings: Settings,
    given: Mapping[str, str],
    asked: Sequence[Asked],
    *,
    manner: Manner,
    console: Console,
    told: Callable[[Result], None],
) -> list[Result]:
    """A platform of its own, on ports of its own; gone on leaving. `told` is given each result as
    it comes."""
    if not asked:
        return []
    settings = replace(settings, http_port=free_ports(1)[0], grpc_port=None)
    domains = {each.domain.name: each.domain for each in asked}.values()
    with TemporaryDirectory(prefix="isobath-evaluation-") as own:
        async with AsyncExitStack() as stack:
            board = Board(console)
            home = Home(manner.home or Path(own))
            with board.live():
                running = await stack.enter_async_context(platform(settings, home, board, given))
                with board.step("questions", "their data"):
                    await load(running.parts, domains)
            return await _ask_all(running, asked, manner, console, told)


async def _ask_all(
    running: Platform,
    asked: Sequence[Asked],
    manner: Manner,
    console: Console,
    told: Callable[[Result], None],
) -> list[Result]:
    turn = asyncio.Semaphore(manner.at_once)
    address, key = running.ports.address("gateway"), running.key.reveal()
    done = 0
    async with AsyncIsobath(address, api_key=key) as client, asyncio.TaskGroup() as asking:

        async def ask(each: Asked) -> Result:
            nonlocal done
            async with turn:
                result = await answered(client, each, manner)
                if manner.recorded is not None and result.run_id:
                    manner.recorded(await client.runs.conversation(result.run_id))
            done += 1
            told(result)
            _say(console, result, f"{done}/{len(asked)}")
            return result

        tasks = [asking.create_task(ask(each)) for each in asked]
    return [task.result() for task in tasks]


def _say(console: Console, result: Result, done: str) -> None:
    mark = "✓" if result.right else "✗"
    why = "" if result.right else f"  {result.cause}; lacks {'; '.join(result.verdict.lacks)}"
    failure = f"  {result.failure.message}" if result.failure else ""
    console.print(
        f"{done:>7} {mark} {result.question.id:<28} {result.used.seconds:5.1f} s "
        f"{result.used.rounds:2} rounds  {result.question.headline}{why}{failure}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


async def answered(client: AsyncIsobath, asked: Asked, manner: Manner) -> Result:
    """One question asked, and its answer judged; a run that failed is a result too."""
    question, events = asked.question, list[Event]()
    failure, started = None, asyncio.get_running_loop().time()
    tables: tuple[Grid, ...] = ()
    try:
        given = await client.ask(question.text, on_event=events.append, **manner.asking(question))
        tables = await _tables(question, given.tables)
    except IsobathError as refused:
        failure = Failure(refused.reason, refused.message)
    seconds = asyncio.get_running_loop().time() - started
    return result_of(asked, events, failure=failure, tables=tables, seconds=seconds)


async def _tables(question: Question, files: Sequence[AsyncTableFile]) -> tuple[Grid, ...]:
    """Those of the files that may hold the table which is asked for."""
    if not any(isinstance(each, Table) for each in question.expects):
        return ()
    small = [f for f in files if f.name.endswith(".csv") and f.size_bytes <= _TABLE_BYTES]
    read = [of_csv((await each.read()).decode(errors="replace")) for each in small]
    return tuple(grid for grid in read if grid is not None)


def result_of(
    asked: Asked,
    events: Sequence[Event],
    *,
    failure: Failure | None = None,
    tables: tuple[Grid, ...] = (),
    seconds: float = 0.0,
) -> Result:
    """What a run's events say of a question. Values in, values out."""
    read = transcript(events)
    ended = events[-1] if events else None
    # a transcript knows only of runs that completed
    usage = ended.usage if isinstance(ended, Failed | Cancelled) else read.usage
    return replace(
        asked.unanswered(),
        verdict=judged(asked.question, Given(read.answer, tables)),
        answer=read.answer,
        run_id=read.run_id,
        finish=read.finish,
        failure=failure,
        programs=tuple(
            Program(each.round, each.code, each.outcome or "interrupted", each.error)
            for each in read.programs
        ),
        used=Used(
            rounds=usage.rounds,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=usage.estimated,
            fetched_rows=usage.fetched_rows,
            fetched_bytes=usage.fetched_bytes,
            seconds=seconds,
        ),
    )
