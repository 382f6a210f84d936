"""Preference pairs from feedback, for DPO: in TRL's conversational form. Pure.

What is chosen and what is rejected is one message of the model, behind a prompt that both have in
common: so the loss holds no text of the platform. A correction stands against the answer that it
corrects. Of two runs of one prompt, one liked and one not, it is the first message in which they
differ: what came before is the same, and what came after is its consequence.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from training.data.record import Message, Record
from training.data.selection import with_correction

CORRECTION, RATING = "correction", "rating"


@dataclass(frozen=True)
class Pair:
    """`kind` is what it was made of. The prompt are all messages before the two."""

    id: str
    kind: str
    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message


def from_correction(record: Record) -> Pair | None:
    """The corrected answer against the one that was given; None where there is no correction."""
    better = with_correction(record).messages[-1]
    given = record.messages[-1]
    if better == given or given.role != "assistant" or record.messages[-1].masked:
        return None
    return Pair(f"{record.run_id}-{CORRECTION}", CORRECTION, record.messages[:-1], better, given)


def from_ratings(liked: Record, disliked: Record) -> Pair | None:
    """The first message in which two runs of one prompt differ; None where it is not the model's,
    or where there is none."""
    shared = zip(liked.messages, disliked.messages, strict=False)
    for at, (one, other) in enumerate(shared):
        if one != other:
            written = one.role == other.role == "assistant" and at >= liked.given
            if not written or one.masked or other.masked:
                return None
            name = f"{liked.run_id}-{disliked.run_id}"
            return Pair(name, RATING, liked.messages[:at], one, other)
    return None


def matched(liked: Sequence[int], disliked: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each run of the larger side once, with those of the smaller in turn."""
    if liked and disliked:
        for at in range(max(len(liked), len(disliked))):
            yield liked[at % len(liked)], disliked[at % len(disliked)]


def row(pair: Pair) -> dict[str, object]:
    """{"id", "prompt", "chosen", "rejected"}: lists of messages, as `DPOTrainer` reads them."""
    return {
        "id": pair.id,
        "prompt": _messages(pair.prompt),
        "chosen": _messages([pair.chosen]),
        "rejected": _messages([pair.rejected]),
    }


def _messages(messages: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]
