"""Which gateway a command speaks to: the options before the command, else the environment."""

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from isobath_client.retries import NEVER, Retries
from isobath_client.settings import Connection, resolve
from isobath_client.sync.client import Isobath

# a person waits: a second's worth of tries, and a minute's for a run that goes
RETRIES = Retries(attempts=4, resume_s=60.0)
GLANCE_S = 2.0

Address = Annotated[
    str, typer.Option("--address", help="HOST:PORT or https://HOST; else ISOBATH_ADDRESS.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--api-key-file", help="A file with the key; else ISOBATH_API_KEY.")
]


@dataclass(frozen=True)
class Given:
    """What stands before the command."""

    address: str = ""
    api_key_file: Path | None = None


GIVEN: ContextVar[Given] = ContextVar("GIVEN", default=Given())  # noqa: B039 - it is frozen


def found(given: Given) -> Connection:
    """Raises `IsobathError` where there is no key."""
    return resolve(os.environ, address=given.address, api_key_file=given.api_key_file)


def connected() -> Isobath:
    """The gateway of this command."""
    where = found(GIVEN.get())
    return Isobath(where.address, api_key=where.api_key, ca=where.ca, retries=RETRIES)


def glance(given: Given | None = None) -> Isobath:
    """The same for what may as well not be had: it gives up at once."""
    where = found(given or GIVEN.get())
    return Isobath(
        where.address, api_key=where.api_key, ca=where.ca, timeout_s=GLANCE_S, retries=NEVER
    )
