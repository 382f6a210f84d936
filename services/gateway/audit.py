"""Who did what to which data: a row for each access, and a line in the log."""

from servicekit import context, logs
from servicekit.sql import Database
from services.gateway.callers import Caller
from services.gateway.store.tables import AuditRow, now_ms

_log = logs.get(__name__)


class Audit:
    """Writes the trail of accesses to data."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, caller: Caller, operation: str, source_id: str, detail: str) -> None:
        """One access. `detail` names what was asked for, never its content."""
        row = AuditRow(
            at_ms=now_ms(),
            owner=caller.owner,
            caller=caller.key_id,
            operation=operation,
            source_id=source_id,
            request_id=context.request_id(),
            detail=detail,
        )
        async with self._database.begin() as session:
            session.add(row)
        _log.info(
            "data_access",
            owner=caller.owner,
            caller=caller.key_id,
            operation=operation,
            source_id=source_id,
            detail=detail,
        )
