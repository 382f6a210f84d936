"""`python -m services.gateway` serves. Its commands are for who runs it."""

import argparse
import asyncio
import sys
from os import environ

from servicekit import logs
from servicekit.server import main
from servicekit.settings import SettingsError, load
from servicekit.status import Fault
from services.gateway.access.operating import ACTIONS
from services.gateway.access.scopes import WORDS, Scope
from services.gateway.app import mount
from services.gateway.settings import Settings
from services.gateway.upkeep import commands as upkeep

PREFIX = "ISOBATH_GATEWAY_"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    keys = commands.add_parser("keys", help="API keys").add_subparsers(dest="action", required=True)
    create = keys.add_parser("create", help="make a key, print it once")
    create.add_argument("--owner", required=True, help="whose sources, threads and files it opens")
    create.add_argument("--name", default="", help="for people, such as 'nightly report'")
    create.add_argument("--scope", choices=[*WORDS], default=Scope.ANALYST.word)
    create.add_argument("--team", action="append", default=[], help="may be given several times")
    create.add_argument("--days", type=float, help="until it expires")
    listed = keys.add_parser("list", help="every key, a line each")
    listed.add_argument("--ended", action="store_true", help="revoked and expired ones too")
    revoke = keys.add_parser("revoke", help="end a key, from the next request on")
    revoke.add_argument("id", help="as `keys list` shows it")
    upkeep.add(commands)
    return parser.parse_args()


def _act(given: argparse.Namespace) -> int:
    logs.configure("gateway", level="WARNING")
    told = asyncio.run(upkeep.acted(given, environ, PREFIX))
    for line in told.lines:
        print(line, file=sys.stderr if told.has_failed else sys.stdout)
    return told.code


if __name__ == "__main__":
    given = _arguments()
    if given.command is None:
        main("gateway", Settings, mount, prefix=PREFIX)
    if given.command != "keys":
        sys.exit(_act(given))
    try:
        settings = load(Settings, environ, prefix=PREFIX)
        told = asyncio.run(ACTIONS[given.action](settings, given))
    except (SettingsError, Fault) as problem:
        sys.exit(f"gateway: {problem}")
    for line in told:
        print(line)  # noqa: T201
