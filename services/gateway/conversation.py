"""The run's state machine: sans-IO, what happened in, what to do next out.

    FETCHING --fetched--> GENERATING --turn--> EXECUTING --ran--> GENERATING …
                              └--turn--> GENERATING | ENDED

The messages are those that the model sees. A run ends with an answer, or at a bound: of rounds,
of new tokens, or of seconds. At a bound the model gets one last turn that asks for the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from services.gateway.tags import ANSWER, CODE, Opened, Text, parse, program

Role = Literal["system", "user", "assistant", "execute"]
LAST_TURN = (
    "The limit of {bound} is reached: no more programs will be run. "
    "Write the <Answer> now, from what has been found so far."
)


@dataclass(frozen=True)
class Message:
    """One message as the model sees it."""

    role: Role
    content: str


@dataclass(frozen=True)
class Sampling:
    """How the model is to choose its words; None = as the model's own service has it."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What a run may use. `idle_turns` are turns in a row with neither program nor answer."""

    rounds: int = 30
    tokens: int = 32_768
    seconds: float = 30 * 60.0
    program_seconds: float = 120.0
    idle_turns: int = 3


class State(Enum):
    """Where a run stands."""

    FETCHING = "fetching"
    GENERATING = "generating"
    EXECUTING = "executing"
    ENDED = "ended"


# What happened


@dataclass(frozen=True)
class Fetched:
    """All data is in the workspace; `messages` are the prompt."""

    messages: Sequence[Message]


@dataclass(frozen=True)
class Turn:
    """The model's turn is over. `elapsed_s` counts from the start of the run."""

    text: str
    tokens: int
    elapsed_s: float
    stopped_at_code: bool = False


@dataclass(frozen=True)
class Ran:
    """A program is over; `output` is what the model gets to read."""

    output: str
    elapsed_s: float


Input = Fetched | Turn | Ran


# What to do


@dataclass(frozen=True)
class Generate:
    """Ask the model, with at most `max_tokens` new ones."""

    messages: Sequence[Message]
    max_tokens: int


@dataclass(frozen=True)
class Execute:
    """Run this program, for at most `seconds`."""

    round: int
    code: str
    seconds: float


@dataclass(frozen=True)
class Finish:
    """The run is over. `why` is "answer", or the bound: "rounds", "tokens", "time", "idle"."""

    answer: str
    why: str


Action = Generate | Execute | Finish


class IllegalTransition(Exception):
    """An input that this state does not take: a defect of the caller."""


@dataclass
class Conversation:
    """One run. `advance` takes what happened and says what to do."""

    bounds: Bounds
    state: State = State.FETCHING
    messages: list[Message] = field(default_factory=list)
    rounds: int = 0
    tokens: int = 0
    _idle: int = 0
    _last_turn: str = ""

    @property
    def standing(self) -> tuple[int, str]:
        """Idle turns in a row, and the bound that the last turn is due to, if it is."""
        return self._idle, self._last_turn

    def advance(self, happened: Input) -> Action:
        """Raises `IllegalTransition` when the state does not take this input."""
        handler = _TRANSITIONS.get((self.state, type(happened)))
        if handler is None:
            raise IllegalTransition(f"{type(happened).__name__} while {self.state.value}")
        action = handler(self, happened)
        self.state = _AFTER[type(action)]
        return action

    def _fetched(self, happened: Fetched) -> Action:
        self.messages.extend(happened.messages)
        return self._generate()

    def _turn(self, happened: Turn) -> Action:
        self.tokens += happened.tokens
        text = with_closing_tag(happened.text, happened.stopped_at_code)
        self.messages.append(Message("assistant", text))
        read = Reading.of(text)
        if read.answer is not None:
            return Finish(read.answer, self._last_turn or "answer")
        if self._last_turn:
            return Finish(read.prose, self._last_turn)
        if read.code is not None:
            return self._program(read.code, happened.elapsed_s)
        self._idle += 1
        return self._next(happened.elapsed_s)

    def _program(self, code: str, elapsed_s: float) -> Action:
        bound = self._bound(elapsed_s)
        if bound:
            return self._ask_for_the_answer(bound)
        self._idle = 0
        self.rounds += 1
        left = self.bounds.seconds - elapsed_s
        return Execute(self.rounds, code, min(self.bounds.program_seconds, left))

    def _ran(self, happened: Ran) -> Action:
        self.messages.append(Message("execute", happened.output))
        return self._next(happened.elapsed_s)

    def _next(self, elapsed_s: float) -> Action:
        bound = self._bound(elapsed_s, before_a_program=False)
        return self._ask_for_the_answer(bound) if bound else self._generate()

    def _bound(self, elapsed_s: float, *, before_a_program: bool = True) -> str:
        """The bound that is reached, or nothing. A turn after the last program is still due."""
        reached = {
            "rounds": before_a_program and self.rounds >= self.bounds.rounds,
            "tokens": self.tokens >= self.bounds.tokens,
            "time": elapsed_s >= self.bounds.seconds,
            "idle": self._idle >= self.bounds.idle_turns,
        }
        return next((bound for bound, is_reached in reached.items() if is_reached), "")

    def _ask_for_the_answer(self, bound: str) -> Action:
        self._last_turn = bound
        self.messages.append(Message("user", LAST_TURN.format(bound=bound)))
        return Generate(tuple(self.messages), max(1024, self.bounds.tokens // 8))

    def _generate(self) -> Action:
        return Generate(tuple(self.messages), max(1, self.bounds.tokens - self.tokens))


_TRANSITIONS: dict[tuple[State, type], Callable[..., Action]] = {
    (State.FETCHING, Fetched): Conversation._fetched,
    (State.GENERATING, Turn): Conversation._turn,
    (State.EXECUTING, Ran): Conversation._ran,
}
_AFTER = {Generate: State.GENERATING, Execute: State.EXECUTING, Finish: State.ENDED}


@dataclass(frozen=True)
class Reading:
    """What a turn holds: the last program, the answer, and its words without tags."""

    code: str | None
    answer: str | None
    prose: str

    @classmethod
    def of(cls, text: str) -> "Reading":
        """Read a whole turn. A program counts only when no answer follows it."""
        code: str | None = None
        answer: str | None = None
        prose: list[str] = []
        for event in parse(text):
            if isinstance(event, Opened) and event.kind == CODE:
                code = ""
            elif isinstance(event, Opened) and event.kind == ANSWER:
                answer = ""
            elif isinstance(event, Text) and event.kind == CODE:
                code = (code or "") + event.source
            elif isinstance(event, Text) and event.kind == ANSWER:
                answer = (answer or "") + event.source
            elif isinstance(event, Text):
                prose.append(event.source)
        runnable = program(code) if code is not None else None
        return cls(runnable, answer.strip() if answer is not None else None, "".join(prose).strip())


def with_closing_tag(text: str, stopped_at_code: bool) -> str:
    """Put `</Code>` back where the stop swallowed it."""
    closing = f"</{CODE}>"
    if stopped_at_code and not text.rstrip().endswith(closing):
        return text + closing
    return text
