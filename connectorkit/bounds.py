"""How much one call may give: the tightest of what the request, the grant and the service say."""

from dataclasses import dataclass

from grants.claims import Grant
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField


@dataclass(frozen=True)
class Bounds:
    """0 = no bound."""

    max_rows: int = 0
    max_bytes: int = 0
    max_seconds: float = 0.0


NONE = Bounds()


def effective(
    limits: pb.Limits, grant: Grant, default: Bounds = NONE, ceiling: Bounds = NONE
) -> Bounds:
    """What holds for a call. What the request leaves out is as the grant says; what neither says is
    `default`. A 0 in the request lifts the default, never the grant's bound or the ceiling.

    Raises InvalidField for a bound below 0.
    """
    rows = limits.max_rows if limits.HasField("max_rows") else None
    size = limits.max_bytes if limits.HasField("max_bytes") else None
    seconds = limits.timeout.ToTimedelta().total_seconds() if limits.HasField("timeout") else None
    for name, value in (("max_rows", rows), ("max_bytes", size), ("timeout", seconds)):
        if value is not None and value < 0:
            raise InvalidField(f"limits.{name}", f"limits.{name} is below 0")
    return Bounds(
        int(_tightest(rows, grant.max_rows, default.max_rows, ceiling.max_rows)),
        int(_tightest(size, grant.max_bytes, default.max_bytes, ceiling.max_bytes)),
        _tightest(seconds, grant.max_seconds, default.max_seconds, ceiling.max_seconds),
    )


def _tightest(said: float | None, granted: float, default: float, ceiling: float) -> float:
    wanted = (granted or default) if said is None else said
    return min((bound for bound in (wanted, granted, ceiling) if bound), default=0)
