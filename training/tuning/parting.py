"""Which conversations are kept from training, to see whether it helps."""

import hashlib
from collections.abc import Sequence

from training.data.conversation import Conversation
from training.unusable import Unusable


def parted(
    conversations: Sequence[Conversation], share: float, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """(for training, held out): whole sources, in an order that the seed gives, until `share` of
    all conversations is reached. Raises Unusable where there is only one source."""
    if not share:
        return list(conversations), []
    sources = sorted({c.source for c in conversations}, key=lambda name: _order(name, seed))
    if len(sources) < 2:
        raise Unusable(
            "All conversations are of one source, and a source is not split between training and "
            "evaluation: name other data in --eval-data, or train with --held-out 0."
        )
    held: set[str] = set()
    for source in sources[:-1]:
        if sum(c.source in held for c in conversations) >= share * len(conversations):
            break
        held.add(source)
    kept = [c for c in conversations if c.source not in held]
    return kept, [c for c in conversations if c.source in held]


def _order(source: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{source}".encode()).hexdigest()
