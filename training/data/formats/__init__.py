"""What trainers read: each format is a pure function from a conversation to a row.

None instead of a row: the format cannot tell what counts for the loss in this one.
"""

from collections.abc import Callable, Mapping

from training.data.conversation import Conversation
from training.data.formats import axolotl, messages, ms_swift, trl, unsloth

FORMATS: Mapping[str, Callable[[Conversation], dict[str, object] | None]] = {
    "messages": messages.row,
    "trl": trl.row,
    "unsloth": unsloth.row,
    "axolotl": axolotl.row,
    "ms-swift": ms_swift.row,
}
