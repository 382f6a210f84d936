"""Making a narrower grant of a grant."""

from dataclasses import dataclass, replace
from datetime import datetime

from grants.claims import Grant
from grants.scope import require_inside


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a narrower grant should be cut to. None leaves a claim as it is."""

    operations: frozenset[str] | None = None
    scopes: tuple[str, ...] | None = None
    max_rows: int | None = None
    max_bytes: int | None = None
    max_seconds: float | None = None
    expires_at: datetime | None = None


def attenuate(grant: Grant, narrower: Bounds) -> Grant:
    """The grant cut to `narrower`; the result never reaches further than `grant`.

    Operations and bounds are cut silently. A scope that is not provably inside the grant's raises
    BeyondGrant: to drop it silently would leave a grant of no scope, which means the whole source.
    """
    scopes = narrower.scopes or grant.scopes
    require_inside(grant, scopes)
    return replace(
        grant,
        operations=_operations(grant.operations, narrower.operations),
        scopes=scopes,
        max_rows=int(_bound(grant.max_rows, narrower.max_rows)),
        max_bytes=int(_bound(grant.max_bytes, narrower.max_bytes)),
        max_seconds=_bound(grant.max_seconds, narrower.max_seconds),
        expires_at=min(grant.expires_at, narrower.expires_at or grant.expires_at),
    )


def _operations(held: frozenset[str], wanted: frozenset[str] | None) -> frozenset[str]:
    return held if wanted is None else held & wanted


def _bound(held: float, wanted: float | None) -> float:
    """The tighter of two bounds, where 0 means none."""
    return min((bound for bound in (held, wanted) if bound), default=0)
