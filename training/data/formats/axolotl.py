"""Axolotl's `type: chat_template`, with `message_field_training: train` and
`message_field_training_detail: train_detail`, as in training/axolotl.yaml.

Offsets are of characters, and `end_offset` is that of the last one: Axolotl compares it with the
place of a token's last character (0.19, `ChatTemplatePrompter.get_offsets_for_train_detail`).

Blanks at the start of a trained message are left out. Axolotl places the masks on the tokens of the
content alone; a line break at its start is one token with that behind the role, so that all masks
would move, and what is masked be trained.
"""

from collections.abc import Iterator

from training.data.conversation import Conversation, Turn


def row(conversation: Conversation) -> dict[str, object]:
    """{"messages": [{"role", "content", "train", "train_detail"}]}"""
    return {"messages": [_message(turn) for turn in conversation.turns]}


def _message(written: Turn) -> dict[str, object]:
    turn = _stripped(written) if written.train else written
    message: dict[str, object] = {"role": turn.role, "content": turn.content, "train": turn.train}
    if turn.masked:
        message["train_detail"] = list(_details(turn))
    return message


def _stripped(turn: Turn) -> Turn:
    content = turn.content.lstrip()
    cut = len(turn.content) - len(content)
    masked = ((max(start - cut, 0), end - cut) for start, end in turn.masked if end > cut)
    return Turn(turn.role, content, turn.train, tuple(masked))


def _details(turn: Turn) -> Iterator[dict[str, int | bool]]:
    at = 0
    for text, counts in turn.pieces():
        yield {"begin_offset": at, "end_offset": at + len(text) - 1, "train": counts}
        at += len(text)
