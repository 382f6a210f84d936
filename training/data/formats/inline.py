"""Conversations for trainers that know no spans: platform text within a message becomes a turn.

That is the form in which this platform asks the model, too: `<Execute>` of upstream's own data is
the message of role `execute` that follows the program. Pure.
"""

from collections.abc import Iterator, Sequence

from training.data.conversation import Conversation, Turn

_OPENING, _CLOSING = "<Execute>", "</Execute>"


def whole_turns(conversation: Conversation) -> tuple[Turn, ...]:
    """Turns without masked spans; as they are, where there are none."""
    return tuple(each for turn in conversation.turns for each in _split(turn))


def trains_all(turns: Sequence[Turn]) -> bool:
    """Whether every message of the assistant counts: a trainer that knows no mask for each would
    learn earlier answers of a thread, which came without their programs, and what failed."""
    return all(turn.train for turn in turns if turn.role == "assistant")


def plain(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as {"role", "content"}."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _split(turn: Turn) -> Iterator[Turn]:
    if not turn.masked:
        yield turn
        return
    output: list[str] = []
    for text, counts in turn.pieces():
        if not counts:
            output.append(_printed(text))
        elif text.strip():
            if output:
                yield Turn("execute", "".join(output))
                output = []
            yield Turn(turn.role, text.strip("\n"), train=True)
    if output:
        yield Turn("execute", "".join(output))


def _printed(block: str) -> str:
    """What a block says: of `<Execute>` what was printed, of others all."""
    if not block.startswith(_OPENING):
        return block
    return block.removeprefix(_OPENING).removesuffix(_CLOSING).removeprefix("\n")
