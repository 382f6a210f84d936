"""`python -m services.credentials` serves; `… audit export` prints the audit as JSON lines, and
`… audit verify` finds what was changed in it, removed or cut off; `… backup` and `… restore` copy
the embedded store with its keys."""

import argparse
import sys
from functools import partial
from os import environ
from pathlib import Path

from servicekit.archives import ArchiveUnusable
from servicekit.chain import ChainBroken
from servicekit.server import main
from servicekit.settings import SettingsError, load
from services.credentials import copying, reading
from services.credentials.app import mount
from services.credentials.copying import CopyRefused
from services.credentials.errors import StoreDamaged
from services.credentials.home import Home
from services.credentials.settings import Settings

PREFIX = "ISOBATH_CREDENTIALS_"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.credentials", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    audit = commands.add_parser("audit", help="the trail of secrets and grants")
    actions = audit.add_subparsers(dest="action", required=True)
    actions.add_parser("export", help="all records as JSON lines, for `isobath audit verify`")
    actions.add_parser("verify", help="whether the records are all there, as they were written")
    backup = commands.add_parser(
        "backup", help="copy the home's store and keys into a folder, while the service works"
    )
    told = "a folder that is empty, or not there"
    backup.add_argument("--to", required=True, type=Path, help=told)
    restore = commands.add_parser("restore", help="bring a copy into a home that has no store")
    restore.add_argument("--from", dest="source", required=True, type=Path, help="the folder")
    restore.add_argument("--check", action="store_true", help="only verify it, by its checksums")
    return parser.parse_args()


def _copy(given: argparse.Namespace) -> None:
    settings = load(Settings, environ, prefix=PREFIX)
    if settings.database_url is not None:
        raise CopyRefused("the store is in PostgreSQL", remedy="Use pg_dump and pg_restore.")
    home = Home(settings.home)
    if given.command == "backup":
        told = copying.make(home, given.to)
    elif given.check:
        told = copying.check(given.source)
    else:
        told = copying.restore(home, given.source)
    print(f"whole: {len(told.entries)} files of {told.made_at}")  # noqa: T201


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
        if given.command == "audit":
            _audit(given.action)
        else:
            _copy(given)
    except ChainBroken as broken:
        sys.exit(f"credentials: the audit is broken at {broken}")
    except (CopyRefused, ArchiveUnusable) as refused:
        sys.exit(f"credentials: {refused} {refused.remedy}")
    except (SettingsError, StoreDamaged, OSError) as problem:
        sys.exit(f"credentials: {problem}")
