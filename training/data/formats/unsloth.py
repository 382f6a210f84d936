"""Unsloth: `conversations` of role and content, to which the chat template is applied.

`train_on_responses_only` counts every turn of the assistant, so that conversations with one that
is not to be trained are left out: such as earlier answers in the prompt.
`standardize_data_formats` is not to be called: it knows no role `execute`, and there is nothing to
standardize.
"""

from training.data.conversation import Conversation
from training.data.formats.inline import plain, trains_all, whole_turns


def row(conversation: Conversation) -> dict[str, object] | None:
    """{"conversations": [{"role", "content"}]}; None where the mask cannot be told."""
    turns = whole_turns(conversation)
    return {"conversations": plain(turns)} if trains_all(turns) else None
