"""What psycopg and ADBC give for the same values: every difference is known, and has its reason."""

import asyncio

import pytest

from dev.postgres import Postgres
from tests.pg_connector.peers import PEERS, Peers, ours
from tests.pg_connector.peers_table import DIFFERENCES, NULL, expected
from tests.pg_connector.typed import typed
from tests.pg_connector.types_table import KINDS, Value


def _compared(dsn: str) -> tuple[list[str], set[int]]:
    peers, wrong, seen = Peers(dsn), list[str](), set[int]()
    try:
        for peer in PEERS:
            for kind in KINDS:
                for value in (*kind.values, Value(NULL, None, "")):
                    found, same = (
                        peers.outcome(peer, f"SELECT {value.cast(kind.sql)}"),
                        ours(peer, kind, value),
                    )
                    known = expected(peer, kind, value)
                    if known and known[0] != same:
                        seen.add(DIFFERENCES.index(known[1]))
                    if found != (known[0] if known else same):
                        wrong.append(
                            f"{peer}: {kind.sql} {value.sql[:60]!r}: {found[:200]}, not {(known[0] if known else same)[:200]}"
                        )
    finally:
        peers.close()
    return wrong, seen


@pytest.mark.req("P3")
async def test_every_difference_from_peers_is_named(postgres: Postgres) -> None:
    async with typed(postgres) as dsn:
        wrong, seen = await asyncio.to_thread(_compared, dsn)
    assert wrong == []
    unseen = [each.kinds for place, each in enumerate(DIFFERENCES) if place not in seen]
    assert unseen == []
