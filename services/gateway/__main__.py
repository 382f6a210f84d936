"""`python -m services.gateway` serves; `… keys create --owner NAME` makes an API key."""

import argparse
import asyncio
import sys
from os import environ

from servicekit.server import main
from servicekit.settings import SettingsError, load
from services.gateway.app import mount
from services.gateway.keys import create_key
from services.gateway.settings import Settings

PREFIX = "ISOBATH_GATEWAY_"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    keys = commands.add_parser("keys", help="API keys").add_subparsers(dest="action", required=True)
    create = keys.add_parser("create", help="make a key, print it once")
    create.add_argument("--owner", required=True, help="whose sources, threads and files it opens")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    if given.command is None:
        main("gateway", Settings, mount, prefix=PREFIX)
    try:
        settings = load(Settings, environ, prefix=PREFIX)
    except SettingsError as problem:
        sys.exit(f"gateway: {problem}")
    print(asyncio.run(create_key(settings, given.owner)))  # noqa: T201
