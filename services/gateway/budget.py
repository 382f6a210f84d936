"""A conversation cut to what the model's context holds. Pure.

What goes first is what is missed least: the middle of old outputs, then the programs of middle
rounds (their names stay: the variables are still there), then earlier questions of the thread, and
at last the outputs of the rounds that were kept so far. The system's words, the question with its
data, and the last error stay whole."""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from services.gateway.conversation import Message, Reading

# the newest rounds are kept longest
_KEPT_ROUNDS = 2
# outputs are cut to these, one after the other
_OUTPUT_CHARS = (4_000, 1_000, 250)
_PROSE_CHARS = 300
_ERROR = "Traceback (most recent call last)"
_CUT = "\n[… {count} characters left out …]\n"


# of English, code and tables together, where the model has not told
_CHARS_PER_TOKEN = 3.0
# once it has to be cut, it is cut to so much: each cut changes the prompt's beginning, which the
# model then reads anew
_ROOM_AFTER_A_CUT = 0.75
# of the context, kept free for what the model writes
_TO_WRITE = 0.25
# of a context that is not told
_LARGE_TOKENS = 131_072
# what a chat template adds to each message
_TEMPLATE_TOKENS = 8


@dataclass(frozen=True)
class Learned:
    """Of the model's context; `told`: the user knows that the conversation is cut."""

    context_tokens: int = 0
    chars_per_token: float = 0.0
    told: bool = False


@dataclass
class Budget:
    """What one run's conversation may take. `context_tokens` 0: not bounded, or not known yet."""

    context_tokens: int = 0
    chars_per_token: float = 0.0
    # the first `_seen` messages, as they were cut last
    _kept: list[Message] = field(default_factory=list)
    _seen: int = 0

    def fit(self, messages: Sequence[Message], new_tokens: int) -> tuple[list[Message], int]:
        """The conversation, cut where it has to be, and how many tokens may be written."""
        now = [*self._kept, *messages[self._seen :]]
        if not self.context_tokens:
            return now, new_tokens
        room = self._room(new_tokens)
        if self.tokens(now) > room:
            most = int(_ROOM_AFTER_A_CUT * room * self._ratio)
            now = self._kept = fitted(messages, most)
            self._seen = len(messages)
        left = self.context_tokens - self.tokens(now)
        return now, max(1, min(new_tokens, left), self._to_write(new_tokens))

    @property
    def was_cut(self) -> bool:
        """Whether something is missing from what the model reads."""
        return self._seen > 0

    def tokens(self, messages: Sequence[Message]) -> int:
        """As far as is known."""
        return int(size(messages) / self._ratio) + _TEMPLATE_TOKENS * len(messages)

    def chars(self, share: float) -> int:
        """Such a share of the context; of one without a bound, that of a large one."""
        return int(share * (self.context_tokens or _LARGE_TOKENS) * self._ratio)

    def learn(self, messages: Sequence[Message], tokens: int) -> None:
        """What a conversation came to in the model's own tokens."""
        if tokens > 0 and (told := size(messages)):
            self.chars_per_token = max(0.5, told / tokens)

    def tighten(self, messages: Sequence[Message], *, tokens: int = 0, limit: int = 0) -> None:
        """The model refused `messages` as too long, with these numbers if it told them: the next
        `fit` gives less, if there is anything left to cut."""
        counted = tokens or self.tokens(messages)
        self.learn(messages, counted)
        bound = min(limit or counted, counted)
        self.context_tokens = min(self.context_tokens or bound, int(0.9 * bound))

    @property
    def _ratio(self) -> float:
        return self.chars_per_token or _CHARS_PER_TOKEN

    def _to_write(self, new_tokens: int) -> int:
        return min(new_tokens, int(_TO_WRITE * self.context_tokens))

    def _room(self, new_tokens: int) -> int:
        return self.context_tokens - self._to_write(new_tokens)


@dataclass(frozen=True)
class Parts:
    """Where in a conversation what stands: indexes of messages."""

    question: int
    # before it: what the thread has asked, each with what was answered
    earlier: tuple[tuple[int, ...], ...]
    # of the run, in order
    outputs: tuple[int, ...]
    programs: tuple[int, ...]
    last_error: int | None

    @classmethod
    def of(cls, messages: Sequence[Message]) -> "Parts":
        run = [i for i, each in enumerate(messages) if each.role in ("assistant", "execute")]
        # the run's own turns come after its question; the thread's answers come before it
        users = [i for i, each in enumerate(messages) if each.role == "user"]
        first_output = next((i for i in run if messages[i].role == "execute"), len(messages))
        question = max((i for i in users if i < first_output), default=0)
        if not any(messages[i].role == "execute" for i in run):
            question = users[-1] if users else 0
        outputs = tuple(i for i in run if i > question and messages[i].role == "execute")
        errors = [i for i in outputs if _ERROR in messages[i].content]
        return cls(
            question=question,
            earlier=_exchanges(messages, question),
            outputs=outputs,
            programs=tuple(i for i in run if i > question and messages[i].role == "assistant"),
            last_error=errors[-1] if errors else None,
        )


def _exchanges(messages: Sequence[Message], end: int) -> tuple[tuple[int, ...], ...]:
    """A question and all up to the next: a chat template may want a question at the front."""
    found: list[list[int]] = []
    for index in range(end):
        if messages[index].role == "user" or not found:
            found.append([])
        if messages[index].role != "system":
            found[-1].append(index)
    return tuple(tuple(each) for each in found if each)


def fitted(messages: Sequence[Message], most_chars: int) -> list[Message]:
    """The same conversation in at most so many characters, or as near to it as may be: messages of
    the thread may be missing, those of the run are shorter."""
    made: dict[int, Message] = dict(enumerate(messages))
    parts = Parts.of(messages)
    for step in _steps(messages, parts):
        if _size(made) <= most_chars:
            break
        step(made)
    return [made[i] for i in sorted(made)]


def _size(messages: dict[int, Message]) -> int:
    return size(messages.values())


def size(messages: Iterable[Message]) -> int:
    """In characters."""
    return sum(len(each.content) for each in messages)


_Step = Callable[[dict[int, Message]], None]


def _steps(messages: Sequence[Message], parts: Parts) -> Iterator[_Step]:
    """What to give up next, the oldest first within each kind."""
    newest = set(parts.outputs[-_KEPT_ROUNDS:]) | {parts.last_error}
    old = [i for i in parts.outputs if i not in newest]
    for limit in _OUTPUT_CHARS:
        for index in old:
            yield _shorten(index, limit)
    for index in parts.programs[:-_KEPT_ROUNDS]:
        yield _summarise(index)
    for exchange in parts.earlier:
        yield _drop(exchange)
    for limit in _OUTPUT_CHARS:
        for index in parts.outputs:
            if index in newest and index != parts.last_error:
                yield _shorten(index, limit)


def _shorten(index: int, limit: int) -> _Step:
    def step(made: dict[int, Message]) -> None:
        made[index] = replace(made[index], content=shortened(made[index].content, limit))

    return step


def _summarise(index: int) -> _Step:
    def step(made: dict[int, Message]) -> None:
        told = summary(made[index].content)
        if len(told) < len(made[index].content):
            made[index] = replace(made[index], content=told)

    return step


def _drop(exchange: Sequence[int]) -> _Step:
    def step(made: dict[int, Message]) -> None:
        for index in exchange:
            del made[index]

    return step


def shortened(text: str, limit: int) -> str:
    """Its beginning and its end, which say most, and how much is missing between."""
    if len(text) <= limit:
        return text
    half = limit // 2
    told = _CUT.format(count=len(text) - 2 * half)
    cut = f"{text[:half]}{told}{text[len(text) - half :]}"
    return cut if len(cut) < len(text) else text


def summary(turn: str) -> str:
    """A turn as its first words, and the names that its program has made."""
    read = Reading.of(turn)
    parts = []
    if read.prose:
        parts.append(f"<Analyze>\n{read.prose[:_PROSE_CHARS].rstrip()}\n</Analyze>")
    if read.code is not None:
        names = ", ".join(assigned(read.code)) or "nothing"
        lines = len(read.code.splitlines())
        note = f"# {lines} lines left out here; they ran, and made: {names}"
        parts.append(f"<Code>\n```python\n{note}\n```\n</Code>")
    return "\n".join(parts) or turn


def assigned(code: str) -> list[str]:
    """Names that a program gives a value at its top, in order. Of one that is no Python, none."""
    found: dict[str, None] = {}
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for statement in ast.parse(code).body:
            for name in _names(statement):
                found[name] = None
    return list(found)


def _names(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            yield name
        case ast.With(body=body) | ast.For(body=body) | ast.If(body=body) | ast.Try(body=body):
            for inner in body:
                yield from _names(inner)
