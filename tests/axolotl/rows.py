"""Conversations, the rows that the data builder makes of them, and which tokens are to count.

What counts is worked out by characters, without Axolotl and without the builder: of a trained message
all but the spans that the platform wrote, and the <|im_end|> behind it. A token counts where all of its
characters do."""

from collections.abc import Sequence
from typing import Any

from training.data.conversation import Conversation, Turn
from training.data.formats import axolotl

END = "<|im_end|>"
IGNORED = -100


def written(content: str, *platform: str) -> Turn:
    """What the model wrote, with what the platform wrote into it."""
    starts = [content.index(each) for each in platform]
    spans = [(at, at + len(each)) for at, each in zip(starts, platform, strict=True)]
    return Turn("assistant", content, True, tuple(spans))


def row(turns: Sequence[Turn]) -> dict[str, Any]:
    return axolotl.row(Conversation("run", "source", tuple(turns)))


def expected(tokenizer, turns: Sequence[Turn]) -> tuple[list[int], list[int]]:
    """The ids of the conversation's tokens, and their labels."""
    text, counted = "", list[bool]()
    for turn in turns:
        head, tail = f"<|im_start|>{turn.role}\n", f"{END}\n"
        # blanks at the start of what is trained are left out
        cut = len(turn.content) - len(turn.content.lstrip()) if turn.train else 0
        text += head + turn.content[cut:] + tail
        counted += [False] * len(head) + _counted(turn)[cut:]
        counted += [turn.train] * len(END) + [False]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    labels = [
        token if all(counted[start:end]) else IGNORED
        for token, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True)
    ]
    return list(found["input_ids"]), labels


def _counted(turn: Turn) -> list[bool]:
    counted = [turn.train] * len(turn.content)
    for start, end in turn.masked:
        counted[start:end] = [False] * (end - start)
    return counted
