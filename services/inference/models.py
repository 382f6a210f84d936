"""The nouns of inference: a conversation, a request, what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

CODE_END = "</Code>"


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float = 0.4
    top_p: float = 1.0
    # None = what the context leaves
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    messages: Sequence[Message]
    model: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    # also stop after `</Code>`, which the text keeps
    stop_after_code: bool = False
    # other stops, which the text leaves out
    stop: tuple[str, ...] = ()
    owner: str = ""
    # smaller is sooner
    priority: int = 0
    # headers of the trace that it belongs to, for whatever answers it
    trace: Mapping[str, str] = field(default_factory=dict)


class Finish(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    # words were counted, the engine has no tokenizer
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    text: str
    # 0 = not counted
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    finish: Finish
    matched_stop: str = ""
    usage: Usage = field(default_factory=Usage)


Event = Delta | Completion


@dataclass(frozen=True, slots=True)
class TokenCount:
    tokens: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    engine: str
    description: str
    # 0 = not bounded
    context_tokens: int = 0
    base_model: str = ""

    @property
    def is_adapter(self) -> bool:
        return bool(self.base_model)


@dataclass(frozen=True, slots=True)
class Load:
    running: int
    waiting: int
    slots: int
    cache_used_fraction: float | None = None


# A word of prose and its share of punctuation come to 1.3 tokens in the usual vocabularies.
_TOKENS_PER_WORD = 1.3


def estimated_tokens(text: str) -> int:
    """For engines without a tokenizer; never zero for a text that is not empty."""
    words = len(text.split())
    return max(1 if text else 0, round(words * _TOKENS_PER_WORD))


def estimated_prompt(messages: Sequence[Message]) -> int:
    return sum(estimated_tokens(message.content) for message in messages)
