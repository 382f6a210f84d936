"""`make demo`: the platform on real parts, one question of both sources, the report, the end."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from dev.abridged import Abridged
from dev.asking import ask, save
from dev.assembly import Platform, platform
from dev.console import Board
from dev.ending import run
from dev.home import Home
from dev.question import QUESTION, body, lacking
from dev.registration import api
from dev.samples import facts
from dev.settings import Settings
from isobath_client.events import event_of
from isobath_client.render import Renderer
from servicekit.ports import free_ports
from servicekit.settings import SettingsError, load

REPORT = "report.md"
FIGURES = frozenset({".png", ".svg"})


async def demo(settings: Settings, console: Console, given: Mapping[str, str]) -> int:
    """0 when the answer names what the data shows, and a report and a figure were saved."""
    folder = _results_folder(settings)
    board = Board(console)
    # A home and ports of its own: it disturbs no platform that is up, and leaves its results only.
    with TemporaryDirectory(prefix="isobath-demo-") as own, _logs_kept(Path(own), folder):
        async with AsyncExitStack() as stack:
            with board.live():
                running = await stack.enter_async_context(
                    platform(_elsewhere(settings), Home(Path(own)), board, given)
                )
            problems = await _ask(running, console, folder)
            console.print("Stopping everything …")
    return _conclude(console, folder, problems)


def _results_folder(settings: Settings) -> Path:
    folder = settings.home.absolute() / f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    return folder


def _elsewhere(settings: Settings) -> Settings:
    return replace(settings, http_port=settings.http_port or free_ports(1)[0])


async def _ask(running: Platform, console: Console, folder: Path) -> list[str]:
    """Ask, show, save; what is missing in the end."""
    console.rule(f"[bold]{QUESTION}")
    renderer = Renderer(console)
    show = Abridged(lambda event: renderer.show(event_of(event))).show
    async with api(running.ports.url, running.key) as client:
        answered = await ask(client, body(), show)
        saved = await save(client, answered.files, folder)
    await asyncio.to_thread(_write_report, folder / REPORT, answered.answer)
    truth = await asyncio.to_thread(facts, running.company)
    problems = [f"the answer does not name {each}" for each in lacking(answered.answer, truth)]
    if not any(path.suffix in FIGURES for path in saved):
        problems.append("no figure came")
    return problems


def _write_report(path: Path, answer: str) -> None:
    """The answer, where the run left no report of its own."""
    if not path.exists():
        path.write_text(f"# {QUESTION}\n\n{answer.strip()}\n")


def _conclude(console: Console, folder: Path, problems: list[str]) -> int:
    console.rule()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        console.print(f"saved  {path}", markup=False, highlight=False, soft_wrap=True)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    if not problems:
        console.print("The answer names what was planted in the data.", style="green")
    return 1 if problems else 0


@contextmanager
def _logs_kept(home: Path, folder: Path) -> Iterator[None]:
    """Where anything fails, the services' logs are what tells why."""
    try:
        yield
    except Exception:
        shutil.copytree(Home(home).logs, folder / "logs", dirs_exist_ok=True)
        raise


def main() -> int:
    console = Console()
    try:
        settings = load(Settings, os.environ, prefix="ISOBATH_")
    except SettingsError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    return run(demo(settings, console, os.environ), console)


if __name__ == "__main__":
    sys.exit(main())
