"""How much one caller may use: what is left of a quota, and a bucket for requests. Pure."""

import datetime
from dataclasses import asdict, dataclass

from services.gateway.errors import QuotaExceeded

_DAY_S = 24 * 60 * 60


@dataclass(frozen=True)
class Quota:
    """0 = no limit but the platform's own. Days are those of UTC."""

    # requests in a minute
    requests_per_minute: int = 0
    # runs that go at the same time
    runs_at_once: int = 0
    # tokens that the model reads and writes in a day
    tokens_per_day: int = 0
    # rows fetched from data sources in a day
    rows_per_day: int = 0
    # bytes fetched from data sources in a day
    bytes_per_day: int = 0

    def as_dict(self) -> dict[str, int]:
        """By their names."""
        return asdict(self)


@dataclass(frozen=True)
class Spent:
    """What a caller has used today."""

    tokens: int = 0
    rows: int = 0
    bytes: int = 0


def require_left(quota: Quota, spent: Spent, now: datetime.datetime) -> None:
    """Hold that something is left of every quota of the day. Raises `QuotaExceeded`, which tells to
    come back at midnight."""
    for name, limit, used in (
        ("tokens_per_day", quota.tokens_per_day, spent.tokens),
        ("rows_per_day", quota.rows_per_day, spent.rows),
        ("bytes_per_day", quota.bytes_per_day, spent.bytes),
    ):
        if limit and used >= limit:
            raise QuotaExceeded(name, limit, used, retry_after_s=seconds_to_midnight(now))


def require_room(quota: Quota, going: int) -> None:
    """Hold that one more run may go beside those that do. Raises `QuotaExceeded`."""
    if quota.runs_at_once and going >= quota.runs_at_once:
        raise QuotaExceeded("runs_at_once", quota.runs_at_once, going, retry_after_s=5.0)


def tokens_left(quota: Quota, spent: Spent) -> int | None:
    """None = as many as a run may have anyway."""
    return max(0, quota.tokens_per_day - spent.tokens) if quota.tokens_per_day else None


def seconds_to_midnight(now: datetime.datetime) -> float:
    """Until the day of UTC is over; `now` is in UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return _DAY_S - (now - midnight).total_seconds()


class Bucket:
    """Lets `per_minute` requests through at once and as many in any minute after that, evenly: a
    token bucket that is full when it begins."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self._size = per_minute
        self._left = float(per_minute)
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """0.0, or the seconds until one more may come."""
        gained = max(0.0, now_s - self._at_s) * self._size / 60.0
        self._left, self._at_s = min(float(self._size), self._left + gained), now_s
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) * 60.0 / self._size

    def is_full(self, now_s: float) -> bool:
        """Whether it is as good as a new one."""
        return self._left + (now_s - self._at_s) * self._size / 60.0 >= self._size

    @property
    def size(self) -> int:
        """Requests a minute."""
        return self._size
