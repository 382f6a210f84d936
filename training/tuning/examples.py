"""Conversations as tokens, with a label for each token that the model wrote."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from training.data.conversation import Conversation
from training.tuning import masking
from training.tuning.template import Template
from training.unusable import Unusable

Long = Literal["drop", "shorten"]


@dataclass(frozen=True)
class Example:
    """`texts` are the words that the model wrote, piece by piece, as the conversation has them: the
    labels are held against them later. `lost` counts their characters in tokens across a border."""

    id: str
    source: str
    input_ids: list[int]
    labels: list[int]
    texts: tuple[str, ...]
    straddling: int
    lost: int

    @property
    def trained(self) -> int:
        """Tokens that count."""
        return sum(label != masking.IGNORED for label in self.labels)


@dataclass
class Made:
    """Examples, and what became of the rest. `too_long` and `shortened` are ids."""

    examples: list[Example] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)
    # nothing in them is trained
    silent: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(len(example.input_ids) for example in self.examples)

    @property
    def trained(self) -> int:
        return sum(example.trained for example in self.examples)

    @property
    def straddling(self) -> int:
        return sum(example.straddling for example in self.examples)


class Maker:
    """Makes examples for one tokenizer and context. `shorten` leaves off the last turns of a
    conversation that is too long, so that what stays is what the model saw at those turns."""

    def __init__(self, tokenizer: Any, template: Template, context: int, long: Long) -> None:
        self._tokenizer, self._template = tokenizer, template
        self._context, self._long = context, long

    def made(self, conversations: Sequence[Conversation]) -> Made:
        """Raises Unusable: TemplateDiffers, or where nothing is left."""
        found = Made()
        for conversation in conversations:
            self._add(found, conversation)
        if not found.examples:
            raise Unusable(
                f"Nothing is left to train on: {len(found.too_long)} conversations are longer than "
                f"{self._context} tokens (--context, --long shorten), {len(found.silent)} hold "
                'no message with "train": true.'
            )
        return found

    def _add(self, found: Made, conversation: Conversation) -> None:
        example = self.example(conversation)
        if not example.trained:
            found.silent.append(conversation.id)
            return
        if len(example.input_ids) <= self._context:
            found.examples.append(example)
            return
        shorter = self._shorter(conversation) if self._long == "shorten" else None
        if shorter is None:
            found.too_long.append(conversation.id)
        else:
            found.examples.append(shorter)
            found.shortened.append(conversation.id)

    def _shorter(self, conversation: Conversation) -> Example | None:
        """With as many turns as the context holds; None where it holds not even the first."""
        trained = [at for at, message in enumerate(conversation.turns) if message.train]
        for last in reversed(trained[:-1]):
            begun = conversation.turns[: last + 1]
            example = self.example(Conversation(conversation.id, conversation.source, begun))
            if len(example.input_ids) <= self._context:
                return example
        return None

    def example(self, conversation: Conversation) -> Example:
        """One conversation, however long."""
        layout = self._template.layout(conversation)
        encoded = self._tokenizer(
            layout.text, add_special_tokens=False, return_offsets_mapping=True
        )
        ids = list(encoded["input_ids"])
        offsets = [(int(a), int(b)) for a, b in encoded["offset_mapping"]]
        masked = masking.labels(ids, offsets, layout.counted)
        whole = masking.extents(offsets)
        lost = sum(
            _overlap(whole[place], span) for place in masked.straddling for span in layout.counted
        )
        return Example(
            conversation.id,
            conversation.source,
            ids,
            masked.labels,
            _written(conversation),
            len(masked.straddling),
            lost,
        )


def _written(conversation: Conversation) -> tuple[str, ...]:
    return tuple(message.content[a:b] for message in conversation.turns for a, b in message.spans())


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))
