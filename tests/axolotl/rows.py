"""Messages as the data builder writes them for Axolotl, and which tokens of them are to count.

What counts is worked out by characters, without Axolotl: of a trained message all but the spans
that the platform wrote, and the <|im_end|> behind it. A token counts where all of its characters do."""

from collections.abc import Iterator, Sequence
from typing import Any

Message = dict[str, Any]
Span = tuple[int, int]
END = "<|im_end|>"
IGNORED = -100


def message(role: str, content: str, *, train: bool = False, masked: Sequence[Span] = ()) -> Message:
    made: Message = {"role": role, "content": content, "train": train}
    if masked:
        made["train_detail"] = list(_details(len(content), masked))
    return made


def _details(length: int, masked: Sequence[Span]) -> Iterator[Message]:
    """Without gaps, and both ends within."""
    at = 0
    for start, end in masked:
        if start > at:
            yield {"begin_offset": at, "end_offset": start - 1, "train": True}
        yield {"begin_offset": start, "end_offset": end - 1, "train": False}
        at = end
    if at < length:
        yield {"begin_offset": at, "end_offset": length - 1, "train": True}


def written(content: str, *platform: str) -> Message:
    """What the model wrote, with what the platform wrote into it."""
    starts = [content.index(each) for each in platform]
    spans = [(at, at + len(each)) for at, each in zip(starts, platform, strict=True)]
    return message("assistant", content, train=True, masked=spans)


def expected(tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """The ids of the conversation's tokens, and their labels."""
    text, counted = "", list[bool]()
    for each in messages:
        head, tail = f"<|im_start|>{each['role']}\n", f"{END}\n"
        text += head + each["content"] + tail
        counted += [False] * len(head) + _counted(each)
        counted += [each["train"]] * len(END) + [False]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    labels = [
        token if all(counted[start:end]) else IGNORED
        for token, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True)
    ]
    return list(found["input_ids"]), labels


def _counted(each: Message) -> list[bool]:
    counted = [each["train"]] * len(each["content"])
    for detail in each.get("train_detail", ()):
        for at in range(detail["begin_offset"], detail["end_offset"] + 1):
            counted[at] = detail["train"]
    return counted
