"""Commands for who runs the gateway, and for Kubernetes' Jobs."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from servicekit.secrets import scrub
from servicekit.settings import SettingsError, load
from servicekit.sql import migrations
from servicekit.sql.migrations import SchemaBehind
from servicekit.status import Fault
from services.gateway.bytestore import place
from services.gateway.gateway import database_url, folder
from services.gateway.settings import Settings
from services.gateway.store import database
from services.gateway.upkeep import backup, recording, restore
from services.gateway.upkeep.backup import Made
from services.gateway.upkeep.cleaning import Cleaner, Report, Wanted
from services.gateway.upkeep.rotating import rotated
from services.gateway.upkeep.told import FAILED, UNUSABLE, Commands, Told

BEHIND = 3
LOST = 3
_CODES = "exit codes: 0 done; 1 it failed; 2 unusable settings; 3 "
_SHOWN = 10


def add(commands: Commands) -> None:
    """All of them, to a parser."""
    clean = _command(
        commands,
        "clean",
        "remove what has outlived KEEP_…_DAYS, and bytes that belong to no file. Gateways do so "
        "themselves every KEEP_CLEAN_S; it may run beside them, and does nothing while another one "
        "is at it. Threads and files with an end of their own are not its business.",
        _CODES + "done, but there are files whose bytes are gone from the store",
    )
    clean.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    clean.add_argument(
        "--no-orphans", action="store_true", help="do not hold the store against the table of files"
    )
    clean.add_argument(
        "--forget-lost", action="store_true", help="also remove files whose bytes are gone"
    )
    clean.add_argument(
        "--force", action="store_true", help="also where most of the store belongs to no file"
    )
    clean.add_argument(
        "--vacuum",
        action="store_true",
        help="SQLite: give all free space back to the disk, while nobody else can write; "
        "PostgreSQL: have it look at the tables anew",
    )
    clean.set_defaults(act=_clean)
    migrate = _command(
        commands,
        "migrate",
        "bring the database's schema to the form of this version, beside gateways that work on it. "
        "Several at once are no harm: one works, the others wait.",
        _CODES + "with --check: the schema is behind",
    )
    migrate.add_argument("--check", action="store_true", help="only tell how the schema stands")
    migrate.set_defaults(act=_migrate)
    rotate = _command(
        commands,
        "rotate-keys",
        "have the credential service sign grants with a new key, and encrypt every secret anew. "
        "Nothing is interrupted: the old signing key is believed until its grants have ended.",
        _CODES.rpartition(";")[0],
    )
    rotate.set_defaults(act=rotated)
    backup = _command(
        commands,
        "backup",
        "copy all rows, as they are at one moment, and the bytes of all files into a folder, while "
        "gateways go on working. Its manifest is written last, so that a backup that was cut off "
        "is told from a whole one. What it holds is as secret as the database.",
        _CODES + "done, but files had lost their bytes before",
    )
    backup.add_argument(
        "--to", required=True, type=Path, help="a folder that is empty, or not there"
    )
    backup.add_argument(
        "--no-files", action="store_true", help="without the bytes: they are saved in another way"
    )
    backup.set_defaults(act=_backup)
    restore = _command(
        commands,
        "restore",
        "bring a backup into the database and the store that the settings name, which have to be "
        "empty, whatever kind the backup is of. No gateway may run there meanwhile. One that was "
        "cut off may be repeated.",
        _CODES + "done, but files had lost their bytes before the backup",
    )
    restore.add_argument("--from", dest="source", required=True, type=Path, help="the folder")
    restore.add_argument(
        "--check", action="store_true", help="only verify the backup, by its checksums"
    )
    restore.set_defaults(act=_restore)
    recording.add(
        _command(
            commands,
            "conversations",
            "write what the model saw and wrote in runs that have ended, one JSON line each "
            "(isobath.run/1), for training; whose runs they are is not in it. It may run beside "
            "gateways.",
            _CODES.rpartition(";")[0],
        )
    )


async def acted(given: argparse.Namespace, environ: Mapping[str, str], prefix: str) -> Told:
    """What was asked for, with the settings of an environment."""
    try:
        told: Told = await given.act(load(Settings, environ, prefix=prefix), given)
    except SettingsError as problem:
        return Told([f"gateway: {problem}"], UNUSABLE)
    except Fault as fault:
        return Told([f"gateway: {fault} {fault.remedy}".rstrip()], FAILED)
    except (SchemaBehind, SQLAlchemyError, OSError) as problem:
        # a database's own words may hold its address with the password
        return Told([f"gateway: {scrub(str(problem)) or type(problem).__name__}"], FAILED)
    return told


def _command(commands: Commands, name: str, said: str, epilog: str) -> argparse.ArgumentParser:
    make: Callable[..., argparse.ArgumentParser] = commands.add_parser
    return make(name, help=said.partition(".")[0], description=said, epilog=epilog)


async def _clean(settings: Settings, given: argparse.Namespace) -> Told:
    wanted = Wanted(
        orphans=not given.no_orphans,
        dry_run=given.dry_run,
        forget_lost=given.forget_lost,
        force=given.force,
        vacuum=given.vacuum,
    )
    home = folder(settings.home)
    async with (
        database.opened(database_url(settings), settings.schema_wait_s) as rows,
        place.opened(settings.files, home, settings.upload_bytes) as store,
    ):
        report = await Cleaner(rows, store, settings.keep).clean(wanted)
    if report is None:
        return Told(["another process is clearing; nothing was done"])
    return Told(_lines(report, wanted), LOST if report.lost else 0)


def _lines(report: Report, wanted: Wanted) -> list[str]:
    verb = "would be removed" if wanted.dry_run else "removed"
    lines = [f"{what}: {count:,} {verb}" for what, count in report.removed.items()]
    if report.foreign:
        lines.append(f"names in the store that are no gateway's: {report.foreign:,} left alone")
    if report.lost:
        lines.append(f"files without bytes: {len(report.lost):,}; --forget-lost removes them")
        lines += [f"  {id}" for id in report.lost[:_SHOWN]]
        if len(report.lost) > _SHOWN:
            lines.append("  …")
    return lines


async def _migrate(settings: Settings, given: argparse.Namespace) -> Told:
    folder(settings.home)
    newest = database.newest()
    async with database.unmigrated(database_url(settings)) as rows:
        before = await migrations.revision(rows.engine)
        if given.check:
            is_behind = await migrations.is_behind(rows.engine, database.MIGRATIONS)
            stands = f"the schema is at {before or 'nothing'}, this version's is {newest}"
            return Told([stands], BEHIND if is_behind else 0)
        await migrations.migrate(rows.engine, database.MIGRATIONS)
        after = await migrations.revision(rows.engine)
    if before == after:
        return Told([f"the schema is at {after} already"])
    return Told([f"the schema was at {before or 'nothing'}, and is at {after} now"])


async def _backup(settings: Settings, given: argparse.Namespace) -> Told:
    made = await backup.make(settings, given.to, with_files=not given.no_files)
    return _copied(made, f"in {given.to}")


async def _restore(settings: Settings, given: argparse.Namespace) -> Told:
    if given.check:
        archive = await restore.check(given.source)
        count = len(archive.entries)
        stands = f"whole: {count:,} files of {archive.made_at}, schema {archive.told['revision']}"
        return Told([stands])
    return _copied(await restore.restore(settings, given.source), "restored")


def _copied(made: Made, where: str) -> Told:
    told = f"{made.rows:,} rows and {made.files:,} files of {made.size_bytes:,} bytes {where}"
    lost = [f"files without bytes: {len(made.lost):,}", *(f"  {id}" for id in made.lost[:_SHOWN])]
    return Told([told, *(lost if made.lost else [])], LOST if made.lost else 0)
