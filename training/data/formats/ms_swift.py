"""ms-swift: `messages` with `loss` for each.

ms-swift knows no role `execute`, but joins messages of the assistant that follow each other without
anything between, each with its own `loss` (4.6, `Template._get_std_messages`). So a run is given as
such pieces, with the marks of ChatML in them: the joined text is, to the character, what the model
saw. It takes `--template chatml`, which adds the marks around it and nothing else.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from training.data.conversation import Conversation, Turn

_WRITTEN = {"assistant", "execute"}
_END = "<|im_end|>"


def row(conversation: Conversation) -> dict[str, object] | None:
    """{"messages": [{"role", "content", "loss"}]}; None where a program's output has no message of
    the model before it and after it."""
    messages: list[dict[str, object]] = []
    for written, group in groupby(conversation.turns, lambda turn: turn.role in _WRITTEN):
        turns = list(group)
        if not written:
            messages += ({"role": turn.role, "content": turn.content} for turn in turns)
        elif turns[0].role == turns[-1].role == "assistant":
            messages += _joined(turns)
        else:
            return None
    return {"messages": messages}


def _joined(turns: Sequence[Turn]) -> Iterator[dict[str, object]]:
    for loss, pieces in groupby(_pieces(turns), lambda piece: piece[1]):
        text = "".join(piece for piece, _ in pieces)
        yield {"role": "assistant", "content": text, "loss": loss}


def _pieces(turns: Sequence[Turn]) -> Iterator[tuple[str, bool]]:
    """The text of the turns with the marks between them; the last one's end is the template's."""
    for at, turn in enumerate(turns):
        if at > 0:
            yield f"\n<|im_start|>{turn.role}\n", False
        yield from turn.pieces()
        if at < len(turns) - 1:
            yield _END, turn.train
