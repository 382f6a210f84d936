"""How the `isobath` command tells what went wrong: a sentence and what to do, never a traceback."""

import contextlib
import difflib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import typer
from typer.core import TyperGroup

from isobath_client.commands.gateway import GIVEN, found, glance
from isobath_client.commands.printing import complain
from isobath_client.errors import IsobathError, NotFound, Unavailable
from isobath_client.retries import LOST
from isobath_client.sync.client import Isobath

INTERRUPTED = 130
LOOKED_THROUGH = 1000
_KINDS: Mapping[str, Callable[[Isobath], Iterator[str]]] = {
    "source": lambda client: (each.name for each in client.sources.list()),
    "thread": lambda client: (each.thread_id for each in client.threads.list()),
    "run": lambda client: (each.run_id for each in client.runs.list()),
    "file": lambda client: (each.id for each in client.files.list()),
}
_LISTS = {kind: f"isobath {kind}s list" for kind in _KINDS}


class Guarded(TyperGroup):
    """A command whose errors end it with 1, and whose interruption with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except IsobathError as refused:
            complain(f"isobath: {told(refused)}")
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, ImportError) as wrong:
            complain(f"isobath: {wrong}")
        except OSError as wrong:
            if wrong.errno == errno.EPIPE:
                raise
            complain(f"isobath: {wrong}")
        raise typer.Exit(1)


def told(refused: IsobathError) -> str:
    """The error, and what may have been meant."""
    if isinstance(refused, Unavailable) and refused.reason == LOST and _silent(refused):
        return (
            f"no gateway answers at {found(GIVEN.get()).address}. Start one with `make up`, or say "
            "where it is: isobath --address HOST:PORT …, or ISOBATH_ADDRESS."
        )
    kind = _kind(refused)
    if kind not in _LISTS:
        return str(refused)
    # the remedy is for callers of HTTP
    return f"{refused.message.rstrip('.')}. {_meant(refused, kind) or f'See: {_LISTS[kind]}'}"


def _silent(refused: IsobathError) -> bool:
    """Not even the gateway answered: what it says has a request id."""
    return "request_id" not in refused.fields


def _kind(refused: IsobathError) -> str:
    """What was not found."""
    if not isinstance(refused, NotFound):
        return ""
    return "source" if refused.reason == "SOURCE_NOT_FOUND" else refused.fields.get("kind", "")


def _meant(refused: IsobathError, kind: str) -> str:
    wanted = refused.fields.get("source") or refused.fields.get("id", "")
    # whoever cannot list them is told no names
    with contextlib.suppress(IsobathError), glance() as client:
        return suggestion(wanted, islice(_KINDS[kind](client), LOOKED_THROUGH))
    return ""


def suggestion(wanted: str, known: Iterable[str]) -> str:
    """Which of the known names may have been meant, as a sentence; empty where none is near."""
    near = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else ""
