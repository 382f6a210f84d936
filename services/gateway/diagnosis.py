"""What this process is doing: a profile of its event loop, its tasks, its memory. For admins, where
a setting allows it: names of functions and tasks, no values and nobody's data."""

import asyncio
import gc
import resource
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servicekit import logs
from servicekit.status import InvalidField, Unsupported
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.errors import Conflict

LONGEST_S = 60.0
MAX_TASKS = 1_000
MAX_FRAMES = 16
MAX_LINES = 100
# between two samples; costs some percent of a busy loop
_INTERVAL_S = 0.001
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Profile:
    """`content` as a file of that kind."""

    content: str
    media_type: str
    name: str


Render = Callable[[Any], str]


class Diagnosis:
    """`allowed`: the setting. Each look is written to the audit before it happens."""

    def __init__(self, audit: Audit, *, allowed: bool) -> None:
        self._audit = audit
        self._allowed = allowed
        self._profiling = asyncio.Lock()

    async def profile(self, caller: Caller, seconds: float, format: str) -> Profile:
        """Where the event loop's time goes, from now on, for so long. Raises `Unsupported`,
        `InvalidField`, `Conflict`; a caller that leaves ends it."""
        await self._begin(caller, "profile", f"{seconds:g} s as {format}")
        media_type, render, ending = _format(format)
        if not 0 < seconds <= LONGEST_S:
            raise InvalidField("seconds", f"seconds takes more than 0, and {LONGEST_S:g} at most")
        if self._profiling.locked():
            raise Conflict("profile", "", "one is being made", remedy="Ask again after it.")
        async with self._profiling:
            session = await _sampled(seconds)
        # what the samples come to takes a while to be worked out
        content = await asyncio.to_thread(render, session)
        return Profile(content, media_type, f"gateway-profile.{ending}")

    async def tasks(self, caller: Caller) -> list[dict[str, Any]]:
        """What each task waits at, the outermost call first. Raises `Unsupported`."""
        await self._begin(caller, "tasks", "")
        every = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
        return [
            {"name": task.get_name(), "at": list(_awaited(task.get_coro()))}
            for task in every[:MAX_TASKS]
        ]

    async def memory(self, caller: Caller, lines: int) -> dict[str, Any]:
        """How much there is, and where it was allocated if that is being traced
        (PYTHONTRACEMALLOC). Raises `Unsupported`, `InvalidField`."""
        await self._begin(caller, "memory", "")
        if not 0 < lines <= MAX_LINES:
            raise InvalidField("lines", f"lines takes 1 to {MAX_LINES}")
        allocated = await asyncio.to_thread(_allocated, lines) if tracemalloc.is_tracing() else None
        return {
            # Linux counts it in KiB
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "garbage_counts": list(gc.get_count()),
            "tracing": tracemalloc.is_tracing(),
            "allocated": allocated or [],
        }

    async def log_level(self, caller: Caller, level: str) -> str:
        """From which level on this process logs from now on. Raises `InvalidField`."""
        if level not in logs.LEVELS:
            raise InvalidField("level", f"level is one of {', '.join(logs.LEVELS)}")
        await self._audit.write(caller, "log_level", "", level)
        logs.set_level(level)
        return level

    async def _begin(self, caller: Caller, operation: str, detail: str) -> None:
        if not self._allowed:
            raise Unsupported(
                "this gateway is not to be looked into",
                ability="profiling",
                remedy="Set ISOBATH_GATEWAY_PROFILING to true, and start it again.",
            )
        await self._audit.write(caller, operation, "", detail)


async def _sampled(seconds: float) -> Any:
    profiler = _profiler()
    profiler.start()
    try:
        await asyncio.sleep(seconds)
    finally:
        session = profiler.stop()
    return session


def _profiler() -> Any:
    try:
        from pyinstrument import Profiler
    except ImportError as missing:
        raise Unsupported(
            "this gateway has no profiler",
            ability="profiling",
            remedy="Install isobath[profile].",
        ) from missing
    # of the loop's thread, whichever task runs
    return Profiler(interval=_INTERVAL_S, async_mode="disabled")


def _format(name: str) -> tuple[str, Render, str]:
    found = _FORMATS.get(name)
    if found is None:
        raise InvalidField("format", f"format is one of {', '.join(_FORMATS)}")
    return found


def _speedscope(session: Any) -> str:
    from pyinstrument.renderers import SpeedscopeRenderer

    return str(SpeedscopeRenderer().render(session))


def _html(session: Any) -> str:
    from pyinstrument.renderers import HTMLRenderer

    return str(HTMLRenderer().render(session))


def _text(session: Any) -> str:
    from pyinstrument.renderers import ConsoleRenderer

    return str(ConsoleRenderer(unicode=True, color=False).render(session))


_FORMATS: Mapping[str, tuple[str, Render, str]] = {
    "speedscope": ("application/json", _speedscope, "speedscope.json"),
    "html": ("text/html; charset=utf-8", _html, "html"),
    "text": ("text/plain; charset=utf-8", _text, "txt"),
}


def _awaited(coroutine: Any) -> Iterator[str]:
    """The calls of a suspended coroutine, down to what it waits for. `Task.get_stack` gives the
    first of them only."""
    for _ in range(MAX_FRAMES):
        frame = next(filter(None, (getattr(coroutine, f"{k}_frame", None) for k in _KINDS)), None)
        if frame is None:
            return
        code = frame.f_code
        yield f"{_place(code.co_filename)}:{frame.f_lineno} {code.co_qualname}"
        awaited = (getattr(coroutine, name, None) for name in _AWAITED)
        coroutine = next(filter(None, awaited), None)


_KINDS = ("cr", "gi", "ag")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")


def _place(file: str) -> str:
    """Ours from the repository on, others from the package on."""
    path = Path(file)
    if path.is_relative_to(_ROOT) and "site-packages" not in path.parts:
        return str(path.relative_to(_ROOT))
    return "/".join(path.parts[-2:])


def _allocated(lines: int) -> list[dict[str, Any]]:
    found = tracemalloc.take_snapshot().statistics("lineno")[:lines]
    return [
        {
            "at": f"{_place(each.traceback[0].filename)}:{each.traceback[0].lineno}",
            "bytes": each.size,
            "blocks": each.count,
        }
        for each in found
    ]
