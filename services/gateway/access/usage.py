"""What callers use: counted by key and day, held against their quotas, and summed up."""

import asyncio
import datetime
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from servicekit import logs
from servicekit.sql import Database
from servicekit.status import InvalidField
from services.gateway.access import quotas
from services.gateway.access.buckets import Buckets, buckets_of
from services.gateway.access.quotas import Spent
from services.gateway.callers import Caller
from services.gateway.errors import QuotaExceeded
from services.gateway.store.tables import UsageRow

# requests are counted in memory, and written this often
FLUSH_S = 5.0
MAX_DAYS = 366
_log = logs.get(__name__)
Clock = Callable[[], datetime.datetime]


@dataclass(frozen=True)
class Used:
    """Sums. `run_ms` is how long runs took, together."""

    requests: int = 0
    runs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    rows: int = 0
    bytes: int = 0
    run_ms: int = 0

    def __add__(self, other: "Used") -> "Used":
        pairs = ((each.name, getattr(self, each.name)) for each in fields(self))
        return Used(**{name: value + getattr(other, name) for name, value in pairs})

    @property
    def spent(self) -> Spent:
        """As quotas count it."""
        return Spent(self.prompt_tokens + self.completion_tokens, self.rows, self.bytes)


@dataclass(frozen=True)
class Line:
    """What one caller used on one day."""

    day: str
    owner: str
    key_id: str
    used: Used


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Usage:
    """Counts and quotas, of all gateways on the database; a run that goes is counted when it
    ends."""

    def __init__(
        self,
        database: Database,
        *,
        now: Clock = _now,
        buckets: Buckets | None = None,
    ) -> None:
        self._database = database
        self._now = now
        self._buckets = buckets or buckets_of(database)
        # requests that are not written yet, by caller and day
        self._requests: Counter[tuple[str, str, str]] = Counter()

    async def request(self, caller: Caller) -> None:
        """Count one request. Raises `QuotaExceeded`."""
        self._requests[(caller.key_id, self.today, caller.owner)] += 1
        per_minute, name = caller.quota.requests_per_minute, "requests_per_minute"
        if per_minute and (wait_s := await self._buckets.take(caller.key_id, per_minute)):
            raise QuotaExceeded(name, per_minute, per_minute, retry_after_s=wait_s)

    async def expire(self) -> None:
        """Forget the buckets of requests that are full."""
        await self._buckets.forget()

    async def require_left(self, caller: Caller) -> int | None:
        """Hold that the day's quotas are not used up, and give the tokens that are left, None where
        they are not counted. Raises `QuotaExceeded`."""
        if not any(caller.quota.as_dict().values()):
            return None
        spent = (await self.of_today(caller)).spent
        quotas.require_left(caller.quota, spent, self._now())
        return quotas.tokens_left(caller.quota, spent)

    async def add(self, caller: Caller, used: Used) -> None:
        """Write what was used, to today."""
        if used != Used():
            await self._add(caller.key_id, self.today, caller.owner, used)

    async def of_today(self, caller: Caller) -> Used:
        """What this caller has used since midnight UTC."""
        async with self._database.begin() as session:
            row = await session.get(UsageRow, (caller.key_id, self.today))
        waiting = self._requests[(caller.key_id, self.today, caller.owner)]
        return (_used(row) if row else Used()) + Used(requests=waiting)

    async def lines(self, owner: str | None, since: str = "", until: str = "") -> Sequence[Line]:
        """By day, then owner and key; of everybody with None. Raises `InvalidField`."""
        await self.flush()
        last = _day("to", until) if until else self._now().date()
        first = _day("from", since) if since else last - datetime.timedelta(days=29)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidField("from", f"from must lie before to, by {MAX_DAYS} days at most")
        query = select(UsageRow).where(UsageRow.day.between(str(first), str(last)))
        if owner is not None:
            query = query.where(UsageRow.owner == owner)
        query = query.order_by(UsageRow.day, UsageRow.owner, UsageRow.key_id)
        async with self._database.begin() as session:
            rows = await session.scalars(query)
            return [Line(row.day, row.owner, row.key_id, _used(row)) for row in rows]

    async def flush(self) -> None:
        """Write the requests that were counted since the last time."""
        while self._requests:
            (key_id, day, owner), number = self._requests.popitem()
            try:
                await self._add(key_id, day, owner, Used(requests=number))
            except BaseException:
                self._requests[(key_id, day, owner)] += number
                raise

    @property
    def today(self) -> str:
        """The day of UTC."""
        return str(self._now().date())

    async def _add(self, key_id: str, day: str, owner: str, used: Used) -> None:
        if await self._raised(key_id, day, used):
            return
        try:
            async with self._database.begin() as session:
                session.add(UsageRow(key_id=key_id, day=day, owner=owner, **asdict(used)))
        except IntegrityError:  # another gateway was first
            await self._raised(key_id, day, used)

    async def _raised(self, key_id: str, day: str, used: Used) -> bool:
        more = {
            column: getattr(UsageRow, column) + value
            for column, value in asdict(used).items()
            if value
        }
        row = update(UsageRow).where(UsageRow.key_id == key_id, UsageRow.day == day)
        raised = row.values(**more).returning(UsageRow.key_id)
        async with self._database.begin() as session:
            return await session.scalar(raised) is not None


@asynccontextmanager
async def counting(usage: Usage) -> AsyncIterator[Usage]:
    """Writes what was counted from time to time, and at the end."""

    async def write() -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await usage.flush()
            except SQLAlchemyError as failed:
                _log.warning("usage_not_written", error=type(failed).__name__)

    task = asyncio.create_task(write(), name="writing of usage")
    try:
        yield usage
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await usage.flush()


def total(lines: Sequence[Line]) -> Used:
    """The sum of all."""
    return sum((line.used for line in lines), Used())


def _used(row: UsageRow) -> Used:
    return Used(**{each.name: getattr(row, each.name) for each in fields(Used)})


def _day(field: str, text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as torn:
        raise InvalidField(field, f"{field} must be a day such as 2026-11-24") from torn
