"""What every part of a running call may ask: its request id, who calls, how long is left."""

import asyncio
import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

LOCAL = "local"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Incoming:
    request_id: str = ""
    caller: str = ""
    # on the running loop's clock; infinite = none
    deadline: float = math.inf
    # what lines of the log tell beside: on whose behalf, of which source, in doing what
    user: str = ""
    source_id: str = ""
    operation: str = ""


_FACTS = ("request_id", "user", "source_id", "operation")
_NOTHING = Incoming()
_incoming: ContextVar[Incoming] = ContextVar("isobath_incoming", default=_NOTHING)


def request_id() -> str:
    """The id of the call being served; empty outside of one."""
    return _incoming.get().request_id


def caller() -> str:
    """Who calls; "local" where the server knows no callers; empty outside of a call."""
    return _incoming.get().caller


def remaining_s(default: float) -> float:
    """Seconds until the incoming call's deadline, never below zero; `default` where it has none."""
    deadline = _incoming.get().deadline
    if math.isinf(deadline):
        return default
    return max(0.0, deadline - asyncio.get_running_loop().time())


def new_request_id(offered: str = "") -> str:
    """What the caller offered, if it is fit for a log line; else a fresh one."""
    return offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex


@contextmanager
def entered(incoming: Incoming) -> Iterator[None]:
    token = _incoming.set(incoming)
    try:
        yield
    finally:
        _incoming.reset(token)


@contextmanager
def entered_request(identifier: str) -> Iterator[str]:
    """For calls that do not arrive by gRPC: HTTP handlers, commands, background work."""
    identifier = new_request_id(identifier)
    with entered(Incoming(request_id=identifier, caller=LOCAL)):
        yield identifier


@contextmanager
def detached() -> Iterator[None]:
    """For a task that outlives the call it began in: keeps the request id, drops the deadline.

    A new task copies the context of its maker: enter this inside the task, or around its making."""
    with entered(replace(_incoming.get(), deadline=math.inf)):
        yield


def facts() -> Iterator[tuple[str, str]]:
    """What a line of the log tells of the call being served, by name; what is empty is left out."""
    incoming = _incoming.get()
    for name in _FACTS:
        if value := getattr(incoming, name):
            yield name, value


def tell(**facts: str) -> None:
    """`user`, `source_id`, `operation`: lines of the log have them from here on, to the end of the
    call."""
    _incoming.set(replace(_incoming.get(), **facts))  # type: ignore[arg-type]


def current() -> Incoming:
    """All of it, for work that another task does on this call's behalf."""
    return _incoming.get()


def set_caller(identity: str) -> None:
    _incoming.set(replace(_incoming.get(), caller=identity))


def set_request_id(offered: str) -> None:
    """For one of several requests that share a call: its own id from here on, if it has one."""
    if offered:
        _incoming.set(replace(_incoming.get(), request_id=new_request_id(offered)))
