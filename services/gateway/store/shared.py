"""What several gateways on one database agree by: its clock, and its locks."""

import zlib
from typing import Any

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

# of the locks of transactions, so that no other service's name means one of ours
_SPACE = zlib.crc32(b"gateway") >> 1


class clock_ms(ColumnElement[int]):  # as SQLAlchemy names functions
    """Milliseconds since 1970 by the database's own clock, which is the same for all gateways."""

    type = BigInteger()
    inherit_cache = True


@compiles(clock_ms, "postgresql")
def _postgresql(element: clock_ms, compiler: Any, **_: Any) -> str:
    # now() would be the beginning of the transaction
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(clock_ms, "sqlite")
def _sqlite(element: clock_ms, compiler: Any, **_: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


async def alone(session: AsyncSession, name: str) -> None:
    """Until the transaction ends, no other one passes here by the same name. In SQLite none does
    anyway."""
    if session.get_bind().dialect.name == "postgresql":
        key = zlib.crc32(name.encode()) - 2**31
        await session.execute(select(func.pg_advisory_xact_lock(_SPACE, key)))
