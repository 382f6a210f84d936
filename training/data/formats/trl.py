"""TRL's `SFTTrainer`: conversational prompt and completion.

With `assistant_only_loss=True` and `training/chat_template.jinja`, what counts is what the
template marks as generated *and* lies in the completion: the answers of earlier runs in a prompt
do not (TRL 1.16, `SFTTrainer._prepare_dataset`, masks multiply). A conversation with a message of
the model in between that is not to be trained is left out.
"""

from training.data.conversation import Conversation, Turn
from training.data.formats.inline import plain, trains_all, whole_turns


def row(conversation: Conversation) -> dict[str, object] | None:
    """{"prompt": [{"role", "content"}], "completion": […]}; None where the mask cannot be told."""
    turns = whole_turns(conversation)
    begin = _begin(turns)
    if not trains_all(turns[begin:]):
        return None
    return {"prompt": plain(turns[:begin]), "completion": plain(turns[begin:])}


def _begin(turns: tuple[Turn, ...]) -> int:
    return next((at for at, turn in enumerate(turns) if turn.train), len(turns))
