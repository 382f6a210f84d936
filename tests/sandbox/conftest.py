from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from servicekit.testing import no_leaks
from tests.sandbox.boxes import TIERS, Box, Place, place

__all__ = ["no_leaks"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TIERS)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """One service for each tier of this machine, for a whole module."""
    async with place(request.param) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def box(sandbox: Place) -> AsyncIterator[Box]:
    """A session of its own."""
    async with sandbox.box() as opened:
        yield opened
