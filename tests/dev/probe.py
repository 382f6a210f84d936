"""A service that does nothing, in the place of a real one: `python -m tests.dev.probe`.

PROBE_FAIL=1 makes it end at once; PROBE_STUBBORN=1 makes it deaf to SIGTERM.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from servicekit.server import Server, ServerSettings, main


@dataclass(frozen=True)
class Settings:
    server: ServerSettings
    fail: bool = False
    stubborn: bool = False


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    if settings.fail:
        print("no reason to live", file=sys.stderr)
        os._exit(7)
    yield
    if settings.stubborn:
        signal.pause()


if __name__ == "__main__":
    main("probe", Settings, mount, prefix="PROBE_")
