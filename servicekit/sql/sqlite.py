"""What SQLite is told to do now and then, because no server does it by itself."""

from sqlalchemy.ext.asyncio import AsyncEngine

INCREMENTAL = 2
# 4 KiB each: what is given back to the disk at once, while nobody else writes
_PAGES = 4096


async def tidied(engine: AsyncEngine, *, whole: bool = False) -> None:
    """Look at indexes whose tables have changed, give free pages back to the disk, and empty the
    write-ahead log. With `whole`, rewrite the database without any gap, which also has one of an
    earlier version give pages back from then on."""
    async with engine.connect() as connection:
        # the driver's own: these statements have to stand outside of a transaction
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute("PRAGMA optimize")
        if whole:
            await raw.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
            await raw.execute("VACUUM")
        else:
            # a page is given back with each step, and only a script takes more than one
            await raw.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        await raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
