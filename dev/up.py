"""`make up`: the platform with sample data, until Ctrl-C or SIGTERM."""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

from rich.console import Console

from dev.assembly import Platform, platform
from dev.console import Board
from dev.ending import run
from dev.home import Home
from dev.settings import Settings
from servicekit.settings import SettingsError, load


async def up(settings: Settings, console: Console, given: Mapping[str, str]) -> int:
    """Start, tell, stay; 0 once a signal ended it in good order."""
    board = Board(console)
    async with AsyncExitStack() as stack:
        with board.live():
            home = Home(settings.home.absolute())
            running = await stack.enter_async_context(platform(settings, home, board, given))
        running.write_ready()
        _announce(board, running)
        try:
            await running.supervisor.run()
        except asyncio.CancelledError:
            board.say("Stopping everything …")
    return 0


def _announce(board: Board, running: Platform) -> None:
    board.say(f"HTTP     {running.ports.url}/v1   (docs: {running.ports.url}/docs)")
    board.say(f"gRPC     {running.ports.address('gateway')}")
    board.say(f"sources  {', '.join(f'{n} ({i})' for n, i in running.sources.items())}")
    board.say(f"API key  in {running.home.ready}, with all of the above")
    board.say("Ctrl-C stops everything.")


def main() -> int:
    console = Console()
    try:
        settings = load(Settings, os.environ, prefix="ISOBATH_")
    except SettingsError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    return run(up(settings, console, os.environ), console)


if __name__ == "__main__":
    sys.exit(main())
