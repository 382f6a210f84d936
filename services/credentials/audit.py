"""One line in the log for each thing that was done with a secret or a grant, or was refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grants.claims import Grant
from servicekit import context, logs

_log = logs.get(__name__)


@contextmanager
def audited(operation: str, **facts: Any) -> Iterator[dict[str, Any]]:
    """Facts that come to light within are added to what it gives. They are names, never values."""
    told: dict[str, Any] = dict(facts)
    try:
        yield told
    except Exception as exc:
        why = type(exc).__name__
        _log.warning("audit", operation=operation, caller=context.caller(), refused=why, **told)
        raise
    _log.info("audit", operation=operation, caller=context.caller(), **told)


def facts_of(grant: Grant) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "owner": grant.owner,
        "for_caller": grant.caller,
        "source_id": grant.source_id,
        "run_id": grant.run_id,
        "operations": sorted(grant.operations),
        "expires_at": grant.expires_at.isoformat(timespec="seconds"),
    }
