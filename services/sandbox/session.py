"""The states of a session, and what leads from one to the next. Pure: nothing is done here."""

from enum import Enum, auto


class State(Enum):
    # a kernel waits for a program
    IDLE = auto()
    RUNNING = auto()
    # asked to stop, and not stopped yet
    INTERRUPTING = auto()
    # the kernel is gone, its workspace is not
    BROKEN = auto()
    CLOSED = auto()


class Event(Enum):
    EXECUTE = auto()
    FINISH = auto()
    INTERRUPT = auto()
    DIE = auto()
    RECOVER = auto()
    CLOSE = auto()


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.IDLE, Event.EXECUTE): State.RUNNING,
    (State.IDLE, Event.INTERRUPT): State.IDLE,
    (State.IDLE, Event.DIE): State.BROKEN,
    (State.IDLE, Event.CLOSE): State.CLOSED,
    (State.RUNNING, Event.FINISH): State.IDLE,
    (State.RUNNING, Event.INTERRUPT): State.INTERRUPTING,
    (State.RUNNING, Event.DIE): State.BROKEN,
    (State.RUNNING, Event.CLOSE): State.CLOSED,
    (State.INTERRUPTING, Event.FINISH): State.IDLE,
    (State.INTERRUPTING, Event.INTERRUPT): State.INTERRUPTING,
    (State.INTERRUPTING, Event.DIE): State.BROKEN,
    (State.INTERRUPTING, Event.CLOSE): State.CLOSED,
    (State.BROKEN, Event.INTERRUPT): State.BROKEN,
    (State.BROKEN, Event.DIE): State.BROKEN,
    (State.BROKEN, Event.RECOVER): State.IDLE,
    (State.BROKEN, Event.CLOSE): State.CLOSED,
    # what was under way when it closed still reports its end
    (State.CLOSED, Event.FINISH): State.CLOSED,
    (State.CLOSED, Event.INTERRUPT): State.CLOSED,
    (State.CLOSED, Event.DIE): State.CLOSED,
    (State.CLOSED, Event.CLOSE): State.CLOSED,
}


class NoTransition(RuntimeError):
    """The event cannot happen in this state."""


def after(state: State, event: Event) -> State:
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise NoTransition(f"{event.name} in {state.name}") from None


def may(state: State, event: Event) -> bool:
    return (state, event) in TRANSITIONS
