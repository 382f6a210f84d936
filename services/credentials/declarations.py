"""The declared sources as they stand: loaded at the start and whenever their file changes."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from grants.binding import binding
from servicekit import logs
from servicekit.limits import Limiter
from servicekit.settings import SettingsError
from servicekit.status import InvalidField
from services.credentials import declared
from services.credentials.clock import Clock
from services.credentials.declared import DeclaredWrong, Entry, Problem
from services.credentials.errors import SecretNotFound
from services.credentials.references import References
from services.credentials.store import Db, Store
from services.credentials.vaults.port import Change, Description, Record, Vault

_log = logs.get(__name__)
_MAX_BYTES = 1024 * 1024
# how often the file is looked at, in seconds
_LOOK_S = 2.0
# digest of a source that is not declared any more; its version is kept, for it may come again
_GONE = ""
_SAVE = (
    "INSERT INTO declared VALUES (?, ?, ?) ON CONFLICT (source_id) DO UPDATE SET "
    "version = excluded.version, digest = excluded.digest"
)

Revoke = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Declaration:
    entry: Entry
    version: int
    since: datetime


class Declarations:
    """`revoke(source_id)` voids the grants of a source that was changed or taken out."""

    def __init__(
        self, path: Path | None, store: Store, references: References, threads: Limiter
    ) -> None:
        self._path, self._store, self._references = path, store, references
        self._threads = threads
        self._clock = Clock()
        self._seen: tuple[int, ...] | None = None
        self._told: tuple[Problem, ...] = ()
        self._now: Mapping[str, Declaration] = {}

    @property
    def now(self) -> Mapping[str, Declaration]:
        """By the id of the source."""
        return self._now

    async def load(self, revoke: Revoke) -> None:
        """At the start. Raises SettingsError with every problem and its line."""
        try:
            await self.refresh(revoke)
        except DeclaredWrong as wrong:
            told = [f"{self._path}:{each.line}: {each.text}" for each in wrong.problems]
            raise SettingsError(told) from wrong

    async def watch(self, revoke: Revoke) -> None:
        """Until it is cancelled. A file that is wrong is told and changes nothing."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._refresh_or_tell(revoke)

    async def _refresh_or_tell(self, revoke: Revoke) -> None:
        try:
            await self.refresh(revoke)
        except DeclaredWrong as wrong:
            if wrong.problems != self._told:
                for each in wrong.problems:
                    _log.error("sources_not_loaded", line=each.line, why=each.text)
            self._told = wrong.problems
        except Exception:
            # the store may be busy or full: the next look tries again
            self._seen = None
            _log.exception("sources_not_loaded")
        else:
            self._told = ()

    async def refresh(self, revoke: Revoke) -> bool:
        """Whether the file changed. Raises DeclaredWrong; once for each state of the file, but
        every time as long as a secret is missing, which may come without a change of the file."""
        if self._path is None:
            found: tuple[Entry, ...] = ()
        else:
            seen = await self._threads.run(_state, self._path)
            if seen == self._seen:
                return False
            self._seen = seen
            found = declared.entries(await self._threads.run(_text, self._path))
        if problems := await self._references.problems(found):
            self._seen = None
            raise DeclaredWrong(problems)
        await self._apply(found, revoke)
        return True

    async def record(self, source_id: str) -> Record:
        """With its secrets. Raises SecretNotFound, VaultFault."""
        one = self._now.get(source_id)
        if one is None:
            raise SecretNotFound(source_id)
        fields = await self._references.resolved(one.entry)
        bound = binding(one.entry.type, one.entry.config)
        return Record(source_id, one.entry.owner, one.version, fields, one.since, bound)

    async def _apply(self, found: Sequence[Entry], revoke: Revoke) -> None:
        """Revokes first: stopped in between, it is done again at the next start. Of several
        replicas with one file, the first that sees it changed does all this."""
        async with self._store.alone("declared"):
            stored = await self._store.run(lambda db, _: _read(db))
            after, void = _versions(stored, found)
            for source_id in void:
                await revoke(source_id)
            await self._store.run(lambda db, _: _write(db, after))
        at = self._clock.now()
        self._now = {
            each.source_id: self._kept(each, after[each.source_id][0], at) for each in found
        }
        _log.info("sources_loaded", sources=len(found), revoked=len(void))

    def _kept(self, entry: Entry, version: int, at: datetime) -> Declaration:
        before = self._now.get(entry.source_id)
        if before is not None and before.version == version:
            return replace(before, entry=entry)
        return Declaration(entry, version, at)


class DeclaredVault:
    """A vault, and before it the declared sources, which nobody can change by a call."""

    def __init__(self, vault: Vault, declarations: Declarations) -> None:
        self._vault, self._declarations = vault, declarations

    async def put(self, change: Change, now: datetime) -> Description:
        _require_undeclared(change.source_id)
        return await self._vault.put(change, now)

    async def get(self, source_id: str) -> Record:
        if source_id.startswith(declared.PREFIX):
            return await self._declarations.record(source_id)
        return await self._vault.get(source_id)

    async def describe(self, source_id: str) -> Description:
        if not source_id.startswith(declared.PREFIX):
            return await self._vault.describe(source_id)
        one = self._declarations.now.get(source_id)
        if one is None:
            raise SecretNotFound(source_id)
        names = tuple(sorted(one.entry.secrets))
        return Description(source_id, one.entry.owner, one.version, names, one.since)

    async def delete(self, source_id: str) -> bool:
        _require_undeclared(source_id)
        return await self._vault.delete(source_id)


def _require_undeclared(source_id: str) -> None:
    if source_id.startswith(declared.PREFIX):
        raise InvalidField(
            "source_id",
            f"{source_id} is declared in the operator's file",
            remedy="Have it changed, or taken out, there.",
        )


def _versions(
    stored: Mapping[str, tuple[int, str]], found: Sequence[Entry]
) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """The versions and digests that are to be stored, and the sources whose grants are void."""
    after = {source_id: (version, _GONE) for source_id, (version, _) in stored.items()}
    for entry in found:
        version, digest = stored.get(entry.source_id, (0, _GONE))
        same = digest == entry.digest
        after[entry.source_id] = (version if same else version + 1, entry.digest)
    void = [
        source_id
        for source_id, (_, digest) in stored.items()
        if digest not in (_GONE, after[source_id][1])
    ]
    return after, void


def _read(db: Db) -> dict[str, tuple[int, str]]:
    rows = db.execute("SELECT source_id, version, digest FROM declared").fetchall()
    return {source_id: (version, digest) for source_id, version, digest in rows}


def _write(db: Db, after: Mapping[str, tuple[int, str]]) -> None:
    rows = [(source_id, *kept) for source_id, kept in after.items()]
    db.executemany(_SAVE, rows)


def _state(path: Path) -> tuple[int, ...]:
    """Another one after each change, also where a symbolic link was turned, as Kubernetes does."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            _require_closed(os.fstat(file.fileno()))
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise DeclaredWrong([Problem(1, f"the file has more than {_MAX_BYTES} bytes")])
        return content.decode()
    except OSError as exc:
        raise DeclaredWrong([Problem(1, f"it cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        raise DeclaredWrong([Problem(1, "it is no text in UTF-8")]) from exc


def _require_closed(found: os.stat_result) -> None:
    """Whoever can write the file can have secrets sent to a host of his own."""
    if found.st_uid not in (0, os.geteuid()):
        raise DeclaredWrong([Problem(1, "the file belongs to another user")])
    if found.st_mode & stat.S_IWOTH:
        raise DeclaredWrong([Problem(1, "every user may write the file: chmod o-w it")])
