"""`make scale-out`: several replicas of everything under load, each restarted in turn.

Three gateways and two of every other service, as processes behind one balancer, on one PostgreSQL.
Users of nine kinds work all the while: some follow a run from gateway to gateway, cancel it or
approve something elsewhere. Meanwhile each process is stopped and started again, and the database
gets a migration. Exit code 0 = nothing that a user did failed.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from dev.console import Board
from dev.ending import run
from dev.home import Home
from dev.names import NAMES
from dev.scale_out.cluster import Cluster, cluster
from dev.scale_out.outcomes import Outcomes
from dev.scale_out.upheaval import migrated, restarted
from dev.scale_out.users import Users
from dev.settings import Settings


async def scale_out(given: argparse.Namespace, console: Console, more: Mapping[str, str]) -> int:
    """0 when nothing failed."""
    board = Board(console)
    counts = dict.fromkeys(NAMES, given.others) | {"gateway": given.gateways}
    settings = Settings(home=given.home, mtls=given.mtls, log_level=given.log_level)
    outcomes = Outcomes()
    if (given.home / "lock").is_file():
        # of an earlier time: it stayed for its logs
        shutil.rmtree(given.home)
    async with AsyncExitStack() as stack:
        with board.live():
            running = await stack.enter_async_context(
                cluster(settings, Home(given.home.absolute()), counts, board, more)
            )
        board.say(f"front    {running.front}/v1, {len(running.urls)} gateways behind it")
        await _under_load(running, given, outcomes, board)
    for line in outcomes.lines():
        board.say(line)
    if given.report:
        given.report.write_text(json.dumps(outcomes.as_dict(), indent=1))
    return 1 if outcomes.faults or not outcomes.all else 0


async def _under_load(
    running: Cluster, given: argparse.Namespace, outcomes: Outcomes, board: Board
) -> None:
    users = Users(running.front, running.front_grpc, running.urls, running.key, outcomes)
    async with asyncio.TaskGroup() as group:
        group.create_task(users.work(given.users))
        try:
            await asyncio.sleep(given.steady_s)
            if not given.no_migration:
                outcomes.phase("migration")
                await migrated(running)
            if not given.no_restart:
                await restarted(running, outcomes, board, given.services)
            outcomes.phase("steady again")
            await asyncio.sleep(given.steady_s)
        finally:
            users.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.scale_out", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".isobath-scale-out"))
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--others", type=int, default=2, help="replicas of every other service")
    parser.add_argument("--users", type=int, default=1, help="of each kind")
    parser.add_argument("--steady-s", type=float, default=15.0, help="before and after, seconds")
    parser.add_argument("--services", nargs="*", default=NAMES, help="whose replicas restart")
    parser.add_argument("--no-restart", action="store_true")
    parser.add_argument("--no-migration", action="store_true")
    parser.add_argument("--mtls", action="store_true", help="the services show certificates")
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--report", type=Path, help="write the outcome as JSON")
    given = parser.parse_args()
    console = Console()
    return run(scale_out(given, console, os.environ), console)


if __name__ == "__main__":
    sys.exit(main())
