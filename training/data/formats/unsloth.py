"""Unsloth: `conversations` of role and content, to which the chat template is applied.

`train_on_responses_only` counts every turn of the assistant, so that conversations with earlier
answers in the prompt are left out. `standardize_data_formats` is not to be called: it knows no
role `execute`, and there is nothing to standardize.
"""

from training.data.conversation import Conversation
from training.data.formats.inline import plain, remembers_answers, whole_turns


def row(conversation: Conversation) -> dict[str, object] | None:
    """{"conversations": [{"role", "content"}]}; None where the mask cannot be told."""
    if remembers_answers(conversation):
        return None
    return {"conversations": plain(whole_turns(conversation))}
