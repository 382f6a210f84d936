"""This package's own lines, which `training.lora` reads: every mask is told by spans."""

from training.data.conversation import Conversation


def row(conversation: Conversation) -> dict[str, object]:
    """{"id", "source", "messages": [{"role", "content", "train", "masked"}]}"""
    messages = [turn.as_json() for turn in conversation.turns]
    return {"id": conversation.id, "source": conversation.source, "messages": messages}
