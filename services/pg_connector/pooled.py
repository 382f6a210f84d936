"""Connections through a pooler that gives each transaction another session (PgBouncer's pool_mode
transaction).

Whatever a session keeps stays behind in the server's session, for whoever has it next: our named
statements are the only such thing, for all settings are made by SET LOCAL. So they are named apart
from those of others, and go in the same message as ROLLBACK, after which the session is another's.
DISCARD ALL would fall on a session that is nobody's in particular, so it is not sent.
"""

import secrets
from typing import Any

import asyncpg


class PooledConnection(asyncpg.Connection):
    """Knows what it prepared in this transaction."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._names = list[str]()

    async def prepare(self, query: str, *, name: str | None = None, **options: Any) -> Any:
        chosen = name or f"isobath_{secrets.token_hex(8)}"
        statement = await super().prepare(query, name=chosen, **options)
        self._names.append(chosen)
        return statement

    def ending(self) -> str:
        """Rolls the transaction back, and frees what was prepared in it. One simple query."""
        names, self._names = self._names, []
        return "; ".join(["ROLLBACK", *(f'DEALLOCATE "{name}"' for name in names)])
