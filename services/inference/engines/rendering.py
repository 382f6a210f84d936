"""What a chat template makes of a conversation, found out by asking it.

A template is a program of the checkpoint's author and may raise what it likes. `render` stands for
one: it takes messages and whether to add the head of the model's turn, and gives text. Training
renders through here too, so that a model is trained on what it will be sent.
"""

from collections.abc import Callable, Sequence

from services.inference.engines import wording
from services.inference.engines.wording import Wire
from services.inference.models import Message, Request

Render = Callable[[Sequence[Wire], bool], str]

_PRINTED = "seven apples were printed"
_QUESTION: Wire = {"role": "user", "content": "How many apples?"}
_ANSWER: Wire = {"role": "assistant", "content": "Seven."}
_RESULT: Wire = {"role": "execute", "content": _PRINTED}


def knows_execute(render: Render) -> bool:
    """Whether the template renders the role `execute`, under that name. Others drop such a message,
    or refuse it."""
    try:
        text = render([_QUESTION, _ANSWER, _RESULT], False)
    except Exception:
        return False
    return _PRINTED in text and "execute" in text


def wants_head(render: Render) -> bool:
    """Whether the head of the model's turn has to be asked for. Upstream's clients never do: their
    checkpoint's template puts it behind each question. ChatML puts it only where it is asked for,
    and a prompt without it ends where the model was never trained to begin."""
    try:
        asked, bare = render([_QUESTION], True), render([_QUESTION], False)
        answered = render([_QUESTION, _ANSWER], False)
    except Exception:
        return False
    head = asked.removeprefix(bare)
    return asked.startswith(bare) and bool(head) and answered.startswith(asked)


def native(messages: Sequence[Message], *, execute_role: bool) -> list[Wire]:
    """Messages as a model that was trained on the tags is given them."""
    return wording.messages(Request(messages), "native", execute_role=execute_role)
