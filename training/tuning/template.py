"""From a conversation to the text that the model sees, and where in it the model's own words lie.

At each of its turns the model is sent a prompt that the inference service renders. All of them
have to be beginnings of one text, each followed by the very words that the model wrote: only then
does training on that text teach what serving will ask for. Both are checked for every conversation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.inference.engines import rendering
from services.inference.engines.wording import Wire
from services.inference.models import Message as Sent
from services.inference.models import Role
from training.data.conversation import Conversation, Turn
from training.data.record import Span
from training.unusable import Unusable

Source = Literal["model", "own"]
OWN = Path(__file__).resolve().parent.parent / "chat_template.jinja"
_SHOWN_CHARS = 60


class TemplateDiffers(Unusable):
    """The template does not keep a conversation as the platform sends it, turn by turn."""


@dataclass(frozen=True)
class Layout:
    """`counted`: spans of the text that the model wrote, with what ends its turns. `prompts`: the
    length of each prompt that led to a trained turn."""

    text: str
    counted: tuple[Span, ...]
    prompts: tuple[int, ...]


class Template:
    """A tokenizer's chat template, asked as the inference service asks it (`native`)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._execute_role = rendering.knows_execute(self._render)
        self._asks = rendering.wants_head(self._render)
        self.ends = tuple({end for end in (tokenizer.eos_token, "<|im_end|>") if end})

    @property
    def head(self) -> str:
        """How the platform gets the head of the model's turn, for people."""
        return "asked for at each turn" if self._asks else "from the template itself"

    @property
    def execute(self) -> str:
        """What becomes of the role `execute`, for people."""
        return "as a role of its own" if self._execute_role else "as messages of the user"

    def prompt(self, messages: Sequence[Turn]) -> str:
        """What the platform sends, for the model to go on."""
        return self._render(self._wire(messages), self._asks)

    def layout(self, conversation: Conversation) -> Layout:
        """The text up to the last trained turn. Raises TemplateDiffers."""
        text = self._render(self._wire(conversation.turns), False)
        counted: list[Span] = []
        prompts: list[int] = []
        end = 0
        for at, message in enumerate(conversation.turns):
            if message.train:
                start = self._begins(conversation, at, text)
                end = start + len(message.content)
                stop = next((len(e) for e in self.ends if text.startswith(e, end)), 0)
                prompts.append(start)
                counted += _placed(message, start, end, stop)
                end += stop
        return Layout(text[:end], tuple(counted), tuple(prompts))

    def _begins(self, conversation: Conversation, at: int, text: str) -> int:
        before = self.prompt(conversation.turns[:at])
        content = conversation.turns[at].content
        where = f"conversation {conversation.id}, message {at}"
        if not text.startswith(before):
            same = next(
                (i for i, (a, b) in enumerate(zip(before, text, strict=False)) if a != b),
                min(len(before), len(text)),
            )
            raise _differs(
                where, "what the platform sends is", before[same:], "in training", text[same:]
            )
        if not text.startswith(content, len(before)):
            got = text[len(before) :]
            raise _differs(where, "what the model wrote is", content, "as rendered", got)
        return len(before)

    def _render(self, messages: Sequence[Wire], head: bool) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=head
        )
        return rendered

    def _wire(self, messages: Sequence[Turn]) -> list[Wire]:
        sent = [Sent(Role(message.role), message.content) for message in messages]
        return rendering.native(sent, execute_role=self._execute_role)


def _placed(message: Turn, start: int, end: int, stop: int) -> list[Span]:
    """Spans of a message within the text, the last with the end of the turn."""
    spans = [(start + a, start + b) for a, b in message.spans()]
    if stop and spans and spans[-1][1] == end:
        spans[-1] = (spans[-1][0], end + stop)
    elif stop:
        spans.append((end, end + stop))
    return spans


def _differs(where: str, one: str, first: str, other: str, second: str) -> TemplateDiffers:
    return TemplateDiffers(
        f"{where}: {one} {first[:_SHOWN_CHARS]!r}, {other} {second[:_SHOWN_CHARS]!r}. The model's "
        "chat template changes what was said, so that training would teach other prompts than "
        "those of serving. `--template own` trains with training/chat_template.jinja, which the "
        "adapter then brings along."
    )


def chosen(tokenizer: Any, source: Source) -> Template:
    """Sets the tokenizer's template. Raises Unusable where the model has none of its own."""
    if source == "own":
        tokenizer.chat_template = OWN.read_text()
    elif not tokenizer.chat_template:
        raise Unusable("The model has no chat template: train with `--template own`.")
    return Template(tokenizer)
