"""How a model is spoken to: a chat template, and what had to be found out about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.inference.engines import rendering, wording
from services.inference.engines.wording import Wire
from services.inference.models import Message, Request


@dataclass(frozen=True)
class Chat:
    """`template` None is the tokenizer's own; an adapter may bring the one it was trained with."""

    tokenizer: Any
    protocol: wording.Protocol
    execute_role: bool
    asks_for_head: bool
    template: str | None = None

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt. Not to be called by two threads at once: the tokenizer may not be."""
        wire = wording.messages(Request(messages), self.protocol, execute_role=self.execute_role)
        ids = self.tokenizer.apply_chat_template(
            wire,
            tokenize=True,
            return_dict=False,
            add_generation_prompt=self.asks_for_head,
            chat_template=self.template,
        )
        return list(ids)

    def under(self, template: str) -> "Chat":
        """The same tokenizer with another template."""
        return chat(self.tokenizer, self.protocol, template)


def chat(tokenizer: Any, protocol: wording.Protocol, template: str | None = None) -> Chat:
    """Asks the template what it does with a conversation."""

    def render(messages: Sequence[Wire], head: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=head, chat_template=template
        )
        return text

    asks = protocol == "taught" or rendering.wants_head(render)
    return Chat(tokenizer, protocol, rendering.knows_execute(render), asks, template)
