"""Conversations as tokens: what to calibrate with, what to measure on, and which of it the model
wrote."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from training.data.conversation import Conversation, Turn
from training.unusable import Unusable

# of Unicode's private use, in nobody's text: shows where a template puts the content
_MARK = "\ue000"


def require_apart(calibrating: Sequence[Conversation], measuring: Sequence[Conversation]) -> None:
    """Raises Unusable for conversations that are in both: on those the loss says too little."""
    if both := {each.id for each in calibrating} & {each.id for each in measuring}:
        raise Unusable(
            f"{len(both)} conversations of --held-out are among those to calibrate with: give "
            "another split of the data set"
        )


@dataclass(frozen=True)
class Tokens:
    """`counted` is true for those that the model wrote, with the end of its turn."""

    ids: Sequence[int]
    counted: Sequence[bool]


def tokens(tokenizer: Any, turns: Sequence[Turn], length: int) -> Tokens:
    """The first `length` of a conversation, as the chat template lays it out."""
    text = laid_out(tokenizer, turns)
    told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    written = list(spans(tokenizer, turns, text))
    ids, offsets = told["input_ids"][:length], told["offset_mapping"][:length]
    counted = [any(start <= at < end for start, end in written) for at, _ in offsets]
    return Tokens(ids, counted)


def spans(tokenizer: Any, turns: Sequence[Turn], text: str) -> Iterator[tuple[int, int]]:
    """Where in the text stands what counts. Raises Unusable for a template that lays earlier turns
    out otherwise once later ones follow: where they begin could not be told."""
    begin = 0
    for number, turn in enumerate(turns, 1):
        so_far = laid_out(tokenizer, turns[:number])
        marked = laid_out(tokenizer, [*turns[: number - 1], Turn(turn.role, _MARK)])
        at = marked.find(_MARK, begin)
        if not text.startswith(so_far) or at < 0 or not text.startswith(turn.content, at):
            raise Unusable(
                "the chat template changes earlier turns, or leaves some out: train and quantize "
                "with training/chat_template.jinja"
            )
        if turn.train:
            yield from _counted(turn, at, len(so_far))
        begin = len(so_far)


def _counted(turn: Turn, at: int, end: int) -> Iterator[tuple[int, int]]:
    for piece, counts in turn.pieces():
        if counts:
            yield at, at + len(piece)
        at += len(piece)
    # what ends the turn
    yield at, end


def laid_out(tokenizer: Any, turns: Sequence[Turn]) -> str:
    plain = [{"role": each.role, "content": each.content} for each in turns]
    return str(tokenizer.apply_chat_template(plain, tokenize=False))
