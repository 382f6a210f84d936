"""Run the tasks on a platform that is started for them, and keep what came of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from dev.assembly import Platform, platform
from dev.console import Board
from dev.home import Home
from dev.registration import api, register
from dev.settings import Settings
from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import Isobath
from isobath_client.records import as_json
from servicekit.ports import free_ports
from training.data.conversation import Conversation
from training.data.record import parsed
from training.examples.conversation import example, lacking
from training.examples.loading import loaded
from training.examples.model import NAME, Script, serving
from training.examples.task import Ask, Task
from training.examples.world import Truth, World

AT_ONCE = 3


@dataclass
class Ran:
    """What came of a task; `lacks` is what its answers do not state and should."""

    task: Task
    conversations: list[Conversation] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)


async def ran(tasks: Sequence[Task], worlds: Mapping[str, World], console: Console) -> list[Ran]:
    """In the order of the tasks. Raises what the platform raises, in an ExceptionGroup."""
    script = Script({ask.question: ask.turns for task in tasks for ask in task.asks})
    needed = {name: worlds[name] for name in sorted({task.world for task in tasks})}
    # prompts tell what a source holds: what is written there must not be seen by chance
    writers = [each for each in tasks if any(ask.results for ask in each.asks)]
    readers = [each for each in tasks if each not in writers]
    with serving(script) as url:
        async with _started(url, needed, console) as running:
            address, key = running.ports.address("gateway"), running.key.reveal()
            with Isobath(address, api_key=key) as client:

                def run(task: Task) -> Ran:
                    return _run(client, task, needed[task.world].truths)

                found = await _all(run, readers, AT_ONCE) + await _all(run, writers, 1)
    return sorted(found, key=lambda each: tasks.index(each.task))


async def _all(run: Callable[[Task], Ran], tasks: Sequence[Task], at_once: int) -> list[Ran]:
    turn = asyncio.Semaphore(at_once)

    async def one(task: Task) -> Ran:
        async with turn:
            return await asyncio.to_thread(run, task)

    async with asyncio.TaskGroup() as group:
        going = [group.create_task(one(task)) for task in tasks]
    return [each.result() for each in going]


@asynccontextmanager
async def _started(
    url: str, worlds: Mapping[str, World], console: Console
) -> AsyncIterator[Platform]:
    settings = Settings(
        http_port=free_ports(1)[0], engine="openai", openai_base_url=url, model=NAME
    )
    # native: what the server gets is what the model sees
    given = {"ISOBATH_INFERENCE_PROTOCOL": "native"}
    with TemporaryDirectory(prefix="isobath-examples-") as own:
        async with platform(settings, Home(Path(own)), Board(console), given) as running:
            async with api(running.ports.url, running.key) as client:
                for source in await loaded(running.parts, worlds):
                    await register(client, source)
            yield running


def _run(client: Isobath, task: Task, truths: Mapping[str, Truth]) -> Ran:
    found, thread = Ran(task), ""
    for number, ask in enumerate(task.asks, 1):
        given = client.ask(
            ask.question,
            data=ask.data,
            max_rows=ask.max_rows,
            thread=thread,
            artifacts_to=_artifacts_to(ask),
        )
        thread = given.thread_id
        name = task.id if number == 1 else f"{task.id}/{number}"
        truth = truths[name]
        found.lacks += lacking(given.answer, truth, language=task.language)
        record = client.runs.conversation(given.run_id)
        recorded = parsed(as_json(record))
        found.conversations.append(example(name, task.world, recorded))
    return found


def _artifacts_to(ask: Ask) -> analyst.ArtifactsTo | None:
    if not ask.results:
        return None
    source, _, prefix = ask.results.partition(":")
    return analyst.ArtifactsTo(source=source, prefix=prefix)
