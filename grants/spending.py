"""How much of a bounded grant is used up, over all its calls."""

from dataclasses import dataclass

from grants.claims import Grant
from grants.errors import BeyondGrant


@dataclass(frozen=True)
class Amount:
    rows: int = 0
    bytes: int = 0


def is_bounded(grant: Grant) -> bool:
    return bool(grant.max_rows or grant.max_bytes)


def taken(grant: Grant, spent: Amount, wanted: Amount) -> Amount:
    """What a call may give: of each at most what is wanted (0 = all that is left), and never more
    than is left; 0 where the grant does not bound it. Raises BeyondGrant when nothing is left."""
    return Amount(
        _taken("rows", grant.max_rows, spent.rows, wanted.rows),
        _taken("bytes", grant.max_bytes, spent.bytes, wanted.bytes),
    )


def spending(spent: Amount, took: Amount) -> Amount:
    return Amount(spent.rows + took.rows, spent.bytes + took.bytes)


def handing_back(spent: Amount, unused: Amount) -> Amount:
    return Amount(max(0, spent.rows - unused.rows), max(0, spent.bytes - unused.bytes))


def _taken(what: str, bound: int, spent: int, wanted: int) -> int:
    if not bound:
        return 0
    left = bound - spent
    if left <= 0:
        raise BeyondGrant("read", None, f"{bound} {what}, which are used up")
    return min(left, wanted or left)
