"""`python -m services.credentials` serves; `… audit export` prints the audit as JSON lines, and
`… audit verify` finds what was changed in it, removed or cut off."""

import argparse
import sys
from functools import partial
from os import environ

from servicekit.chain import ChainBroken
from servicekit.server import main
from servicekit.settings import SettingsError, load
from services.credentials import reading
from services.credentials.app import mount
from services.credentials.errors import StoreDamaged
from services.credentials.settings import Settings

PREFIX = "ISOBATH_CREDENTIALS_"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.credentials", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    audit = commands.add_parser("audit", help="the trail of secrets and grants")
    actions = audit.add_subparsers(dest="action", required=True)
    actions.add_parser("export", help="all records as JSON lines, for `isobath audit verify`")
    actions.add_parser("verify", help="whether the records are all there, as they were written")
    return parser.parse_args()


def _audit(action: str) -> None:
    settings = load(Settings, environ, prefix=PREFIX)
    if action == "export":
        for line in reading.exported(settings):
            print(line)  # noqa: T201
    else:
        print(f"whole; its head is {reading.verified(settings)}")  # noqa: T201


if __name__ == "__main__":
    given = _arguments()
    if given.command is None:
        main("credentials", Settings, partial(mount, environ=environ), prefix=PREFIX)
    try:
        _audit(given.action)
    except ChainBroken as broken:
        sys.exit(f"credentials: the audit is broken at {broken}")
    except (SettingsError, StoreDamaged) as problem:
        sys.exit(f"credentials: {problem}")
