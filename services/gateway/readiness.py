"""Whether this gateway can serve, and if not, why: looked at beside everything else, so that a
probe costs nothing and waits for nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from servicekit import health, logs
from servicekit.sql import Database, standing
from servicekit.sql.standing import MIGRATIONS_PENDING, SERVING, UNREACHABLE
from services.gateway import metrics
from services.gateway.clients import Services
from services.gateway.store.database import MIGRATIONS

EVERY_S = 5.0
# while something is missing, and until the first look
SOON_S = 0.5
# no answer for so long is none; a look that is under way goes on
PATIENCE_S = 3.0
DATABASE = "database"
_log = logs.get(__name__)
Look = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Dependency:
    """What the gateway needs, as it was at the last look; `since` in seconds since 1970."""

    name: str
    essential: bool
    state: str
    since: float
    why: str = ""

    @property
    def serves(self) -> bool:
        return self.state == SERVING


@dataclass(frozen=True)
class Verdict:
    """ready, degraded (something that is not essential is away), or unready."""

    status: str
    reason: str
    dependencies: tuple[Dependency, ...]

    @property
    def ready(self) -> bool:
        return self.status != "unready"


def verdict(dependencies: tuple[Dependency, ...], *, draining: bool) -> Verdict:
    """What follows from what was seen. Pure."""
    if draining:
        return Verdict("unready", "the gateway is going away", dependencies)
    if not dependencies:
        return Verdict("unready", "nothing has been looked at yet", dependencies)
    away = [each for each in dependencies if not each.serves]
    lacking = [each for each in away if each.essential]
    reason = "; ".join(_said(each) for each in lacking or away)
    status = "unready" if lacking else "degraded" if away else "ready"
    return Verdict(status, reason, dependencies)


def _said(each: Dependency) -> str:
    return f"{each.name}: {each.why or each.state}"


@dataclass
class Readiness:
    """Looks at everything, for as long as it is `watching`."""

    services: Services
    database: Database
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: dict[str, Dependency] = field(default_factory=dict)
    # that did not answer the last time, where they had before
    _doubted: set[str] = field(default_factory=set)
    _under_way: dict[str, "asyncio.Task[str]"] = field(default_factory=dict)

    def verdict(self) -> Verdict:
        """As of the last look; of a drain, as of now."""
        return verdict(tuple(self._seen.values()), draining=self.draining.is_set())

    async def look(self) -> Verdict:
        """At all at once, for `PATIENCE_S` at most."""
        looks: dict[str, Look] = {DATABASE: lambda: standing(self.database, MIGRATIONS)}
        for name, opened in (await self.services.channels()).items():
            looks[name] = lambda opened=opened: health.state(opened)  # type: ignore[misc]
        states = await asyncio.gather(*(self._one(*each) for each in looks.items()))
        found = _essential(dict(zip(looks, states, strict=True)))
        self._seen = {each.name: self._kept(each) for each in found}
        self._tell_metrics()
        return self.verdict()

    async def _one(self, name: str, look: Look) -> str:
        """A look is never cancelled: that would cost the database a connection."""
        task = self._under_way.get(name)
        if task is None or task.done():
            task = self._under_way[name] = asyncio.ensure_future(look())
        await asyncio.wait({task}, timeout=PATIENCE_S)
        return task.result() if task.done() else UNREACHABLE

    def _kept(self, now: Dependency) -> Dependency:
        """With the time since when it has been so. One answer that does not come, of a service
        that is busy, is no reason to send everybody elsewhere: the second is."""
        before = self._seen.get(now.name)
        doubted = now.name in self._doubted
        self._doubted.discard(now.name)
        if before is not None and before.serves and now.state == UNREACHABLE and not doubted:
            self._doubted.add(now.name)
            return before
        if before is not None and before.state == now.state:
            return replace(now, since=before.since)
        (_log.info if now.serves else _log.warning)(
            "dependency", name=now.name, state=now.state, essential=now.essential
        )
        return now

    def _tell_metrics(self) -> None:
        # without the addresses of replicas and connectors
        kinds = Counter(each.name.split()[0] for each in self._seen.values())
        serving = Counter(each.name.split()[0] for each in self._seen.values() if each.serves)
        for kind, count in kinds.items():
            metrics.DEPENDENCIES.labels(kind).set(count)
            metrics.DEPENDENCIES_SERVING.labels(kind).set(serving[kind])
        metrics.READY.set(self.verdict().ready)

    @asynccontextmanager
    async def watching(
        self, draining: asyncio.Event, tell: Callable[[bool], None]
    ) -> AsyncIterator[None]:
        """Looks again and again until the end of the block; once before it begins. `tell` is told
        after each look whether the gateway is ready; from `draining` on it is not."""
        self.draining = draining
        tell((await self.look()).ready)
        task = asyncio.create_task(self._watch(tell), name="readiness")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, *self._under_way.values(), return_exceptions=True)

    async def _watch(self, tell: Callable[[bool], None]) -> None:
        while True:
            calm = self.verdict().status == "ready" and not self._doubted
            await asyncio.sleep(EVERY_S if calm else SOON_S)
            tell((await self.look()).ready)


def _essential(states: Mapping[str, str]) -> list[Dependency]:
    """Without a connector the gateway serves the sources of the others. Of the replicas of a
    service one is enough."""
    serving = Counter(name.split()[0] for name, state in states.items() if state == SERVING)

    def another_serves(name: str) -> bool:
        return serving[name.split()[0]] > (states[name] == SERVING)

    now = time.time()
    return [
        Dependency(
            name,
            not (name.startswith("connector") or another_serves(name)),
            state,
            now,
            _WORDS.get(state, ""),
        )
        for name, state in states.items()
    ]


_WORDS = {
    UNREACHABLE: "does not answer",
    "NOT_SERVING": "says that it does not serve",
    MIGRATIONS_PENDING: "its schema is older than this gateway: migrations are pending",
}
