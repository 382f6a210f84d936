"""Adapters that lie in a folder, each in a folder of its own name: served from the start, and
followed as they come, change and go. Every replica that mounts the folder serves the same."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from servicekit import logs
from servicekit.limits import Limiter
from servicekit.settings import SettingsError
from services.inference.engines.port import Adapters
from services.inference.engines.vllm import lora
from services.inference.errors import AdapterUnfit, InferenceFault

_log = logs.get(__name__)

# of what `model` may say in a request; those that begin with a dot are on their way in or out
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# what an adapter's files are known again by: time of change, size, inode
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Changes:
    gone: list[str] = field(default_factory=list)
    come: list[str] = field(default_factory=list)


def changes(
    found: Mapping[str, Stamp], before: Mapping[str, Stamp], taken: Mapping[str, Stamp]
) -> Changes:
    """What to do, from what lies there now, what lay there a look ago, and what was taken up
    already, refused or not. Files that are still being written differ from one look to the next:
    they are left until they rest. One that was replaced goes and comes."""
    resting = [name for name, stamp in found.items() if before.get(name) == stamp]
    come = [name for name in resting if taken.get(name) != found[name]]
    gone = [name for name in taken if name not in found or name in come]
    return Changes(sorted(gone), sorted(come))


def lying(folder: Path) -> dict[str, Stamp]:
    """Adapters whose files are all there. Raises OSError."""
    return {
        each.name: stamp
        for each in folder.iterdir()
        if not each.name.startswith(".") and (stamp := tuple(_stamps(each)))
    }


def _stamps(adapter: Path) -> Iterator[tuple[int, int, int]]:
    """None of what is no adapter, or not all of one yet."""
    weights = next((each for name in lora.WEIGHTS if (each := adapter / name).is_file()), None)
    config = adapter / lora.CONFIG
    if weights is not None and config.is_file():
        template = adapter / lora.TEMPLATE
        for each in (config, weights, *([template] if template.is_file() else [])):
            told = each.stat()
            yield told.st_mtime_ns, told.st_size, told.st_ino


class Followed:
    """One folder, and what of it is served."""

    def __init__(self, adapters: Adapters, folder: Path, threads: Limiter) -> None:
        self._adapters = adapters
        self._folder = folder
        self._threads = threads
        self._before: dict[str, Stamp] = {}
        self._taken: dict[str, Stamp] = {}
        self._served: set[str] = set()
        self._unreadable = False

    async def start(self) -> None:
        """Serves what lies there. Raises SettingsError for a folder that cannot be read."""
        try:
            self._before = await self._threads.run(lying, self._folder)
        except OSError as exc:
            raise SettingsError(
                [f"VLLM_ADAPTERS_FOLDER {self._folder} cannot be read: {exc.strerror}"]
            ) from exc
        await self._change(self._before)

    async def look(self) -> None:
        """Takes up what has changed since. A folder that cannot be read, as on a share that is away
        for a while, leaves all as it is."""
        try:
            found = await self._threads.run(lying, self._folder)
        except OSError as exc:
            if not self._unreadable:
                _log.error("adapters_folder_unreadable", folder=str(self._folder), why=exc.strerror)
            self._unreadable = True
            return
        self._unreadable = False
        await self._change(found)

    async def _change(self, found: dict[str, Stamp]) -> None:
        wanted = changes(found, self._before, self._taken)
        self._before = found
        for name in wanted.gone:
            del self._taken[name]
            await self._unload(name)
        for name in wanted.come:
            if await self._settled(name):
                self._taken[name] = found[name]

    async def _settled(self, name: str) -> bool:
        """Whether it is served, or refused until its files change. One that is broken keeps neither
        the others nor the model from being served."""
        try:
            await self._load(name)
        except InferenceFault as fault:
            _log.error("adapter_refused", adapter=name, why=fault.message, remedy=fault.remedy)
        except Exception:
            # a disk that fails, an engine that dies: tried again at the next look
            _log.exception("adapter_not_loaded", adapter=name)
            return False
        return True

    async def _load(self, name: str) -> None:
        path = self._folder / name
        if not NAME.fullmatch(name):
            remedy = "Rename it: letters, digits, dots, hyphens, underscores."
            raise AdapterUnfit("its name is no model's", path=str(path), remedy=remedy)
        await self._adapters.load_adapter(name, path)
        self._served.add(name)
        _log.info("adapter_served", adapter=name, path=str(path))

    async def _unload(self, name: str) -> None:
        # others of that name were loaded by a call, and stay
        if name in self._served:
            self._served.discard(name)
            await self._adapters.unload_adapter(name)
            _log.info("adapter_gone", adapter=name)


@asynccontextmanager
async def following(adapters: Adapters, folder: Path, every_s: float) -> AsyncIterator[None]:
    """Serves what lies in the folder before it is entered, and looks again every so often, 0 =
    never, until it is left. Raises SettingsError."""
    async with Limiter("adapters", 1) as threads:
        followed = Followed(adapters, folder, threads)
        await followed.start()
        watching = asyncio.create_task(_watch(followed, every_s))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _watch(followed: Followed, every_s: float) -> None:
    while every_s:
        await asyncio.sleep(every_s)
        try:
            await followed.look()
        except Exception:
            # of the engine, when it dies: what is served of the model does not end for it
            _log.exception("adapters_not_followed")
