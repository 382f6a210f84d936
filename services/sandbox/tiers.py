"""Which tier this machine can hold: the one that is asked for, or the best; proved, or refused."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servicekit import logs
from servicekit.limits import Limiter
from servicekit.settings import SettingsError
from services.sandbox.cells import Cell
from services.sandbox.errors import KernelFailed, TierUnavailable
from services.sandbox.home import Home
from services.sandbox.isolation import interpreter
from services.sandbox.isolation.accounts import Accounts
from services.sandbox.isolation.bubblewrap import Namespaces
from services.sandbox.isolation.inside import Inside, environment
from services.sandbox.isolation.landlock import Bare, Landlock
from services.sandbox.isolation.podvm import PodVm
from services.sandbox.isolation.port import Account, Bounds, Interpreter, Isolation
from services.sandbox.isolation.probes import canary
from services.sandbox.kernel.protocol import Kind
from services.sandbox.pool import Ground, Pool
from services.sandbox.settings import Settings
from services.sandbox.spawner import Spawner
from services.sandbox.starters import Forking, Fresh, Starter
from services.sandbox.template import Template, forbidden
from services.sandbox.workspace import Workspace

_log = logs.get(__name__)

# best first
ORDER = ("namespaces", "landlock")
_Make = Callable[[Interpreter, Path, Account], Isolation]
MAKERS: Mapping[str, _Make] = {
    "namespaces": Namespaces,
    "landlock": lambda python, library, _: Landlock(python, library),
    "pod-vm": lambda python, library, _: PodVm(python, library),
    "none": lambda python, library, _: Bare(python, library),
}
_FONTS = """
import glob, os, shutil
for file in glob.glob(os.path.join(os.environ["MPLCONFIGDIR"], "fontlist*.json")):
    shutil.copy(file, ".")
"""


def wanted(settings: Settings) -> tuple[str, ...]:
    if settings.tier != "auto":
        return (settings.tier,)
    return ORDER[: ORDER.index(settings.minimum_tier) + 1]


@dataclass(frozen=True)
class Machine:
    """What kernels could be started with here, whatever the tier."""

    home: Home
    accounts: Accounts
    bounds: Bounds
    spawner: Spawner
    threads: Limiter
    python: Interpreter
    # where kernels may be forked at all
    template: Template | None


async def python(settings: Settings, account: Account, threads: Limiter) -> Interpreter:
    """Raises SettingsError."""
    try:
        return await threads.run(interpreter.choose, settings.python, account)
    except TierUnavailable as exc:
        raise SettingsError([f"{exc.message}. {exc.remedy}"]) from exc


async def choose(settings: Settings, machine: Machine) -> Ground:
    """The first tier wanted that holds. Raises SettingsError, which tells why none does."""
    problems = []
    account = machine.accounts.probing()
    for name in wanted(settings):
        isolation = MAKERS[name](machine.python, machine.home.library, account)
        try:
            await machine.threads.run(isolation.require)
            ground = await _proved(machine, isolation)
        except (TierUnavailable, KernelFailed) as exc:
            problems.append(f"{name}: {exc}. {exc.remedy}")
            _log.warning("tier_unavailable", tier=name, why=str(exc))
            continue
        _log.info("tier", name=name, python=str(machine.python.executable))
        return ground
    raise SettingsError(["ISOBATH_SANDBOX_TIER: no tier that is allowed holds here", *problems])


async def _proved(machine: Machine, isolation: Isolation) -> Ground:
    """With forked kernels, where that may be and works; else each is a Python of its own."""
    forking = _forking(machine, isolation)
    if forking is not None:
        try:
            ground = _ground(machine, isolation, forking)
            await _prove(ground, machine.home, machine.python)
        except KernelFailed as exc:
            _log.warning("kernels_not_forked", why=str(exc))
        else:
            return ground
    ground = _ground(machine, isolation, Fresh(isolation, machine.spawner))
    await _prove(ground, machine.home, machine.python)
    return ground


def _forking(machine: Machine, isolation: Isolation) -> Starter | None:
    if machine.template is None:
        return None
    why = forbidden(isolation.name, machine.python, machine.accounts.probing())
    if why:
        _log.warning("kernels_not_forked", why=why)
        return None
    return Forking(isolation, machine.spawner, machine.template)


def _ground(machine: Machine, isolation: Isolation, starter: Starter) -> Ground:
    home = machine.home
    return Ground(isolation, machine.accounts, machine.bounds, starter, machine.threads, home.slots)


async def _prove(ground: Ground, home: Home, python: Interpreter) -> None:
    pool = Pool(ground, warm=0)
    cell = await pool.take(ground.bounds)
    try:
        if ground.isolation.name == "none":
            _log.warning("no_isolation", advice="programs can do all that this account can")
        else:
            names = environment(Inside("", "", ""), python, ground.bounds)
            await canary(cell, names, home.path, os.getpid())
        if not home.fonts.is_dir():
            await _keep_fonts(cell, ground, home)
    finally:
        await pool.give_back(cell)


async def _keep_fonts(cell: Cell, ground: Ground, home: Home) -> None:
    """The list of fonts that the first kernel made, for all kernels after it."""
    async for frame in cell.run(_FONTS):
        if frame.kind is Kind.STREAM:
            _log.warning("fonts_not_kept", said=frame.header.get("text"))
    slot = cell.slot
    workspace = Workspace(slot.workspace, slot.account, ground.bounds.workspace_bytes)
    home.keep_fonts(await ground.threads.run(_contents, workspace))


def _contents(workspace: Workspace) -> dict[str, bytes]:
    found = {}
    for info in workspace.files():
        if info.path.startswith("fontlist") and info.size_bytes < 2**24:
            with workspace.open_file(info.path)[0] as file:
                found[info.path] = file.read()
    return found


def forget_fonts(home: Home) -> None:
    """Another matplotlib, or another machine, may have others."""
    shutil.rmtree(home.fonts, ignore_errors=True)
