"""The claims of a grant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

# "write" makes what was not there; with "overwrite" beside it, over what is there too
Operation = Literal["list", "read", "write", "overwrite"]
OPERATIONS: frozenset[str] = frozenset(get_args(Operation))

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_LIFETIME = timedelta(hours=24)
MAX_PARENTS = 8
DEFAULT_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Who may do what with which source, how much of it, until when. Times are aware, in UTC.

    `scopes` are patterns (see grants.scope); none means the whole source. A bound of 0 means that
    the grant does not bound it, and the connector's own default holds. `parents` are the ids of the
    wider grants that it was made of, the widest first: it is void with any of them.
    """

    grant_id: str
    owner: str
    caller: str
    source_id: str
    source_type: str
    source_version: int
    config: Mapping[str, Json] = field(default_factory=dict, repr=False)
    operations: frozenset[str]
    scopes: tuple[str, ...] = ()
    max_rows: int = 0
    max_bytes: int = 0
    max_seconds: float = 0.0
    run_id: str = ""
    thread_id: str = ""
    issued_at: datetime
    expires_at: datetime
    parents: tuple[str, ...] = ()
