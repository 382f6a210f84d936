"""What the platform recorded, as lines of the data set: pure."""

import re
from collections.abc import Iterable
from dataclasses import replace

from training.data.conversation import Conversation, Turn, conversation, dumped
from training.data.record import Record
from training.evaluation.dataset import Question
from training.evaluation.scoring import missing
from training.examples.world import Truth

# Where libraries lie depends on the machine: as they lie in the sandbox's image.
_LIBRARIES = re.compile(r'(?<=File ")[^"\n]*/site-packages/')
_IMAGE = "/usr/local/lib/python3.11/site-packages/"
_FAILED = "Traceback (most recent call last):"
_SEPARATOR = re.compile(r"(?<=\d)[.,](?=\d)")
_COMMAS = frozenset({"de", "fr", "es"})


def example(id: str, source: str, recorded: Record) -> Conversation:
    """A recorded run as a line of the data set: `source` groups those of the same data. Not trained
    is a turn whose program failed, so that recovering is learned and failing is not."""
    turns = [replace(each, content=normal(each.content)) for each in conversation(recorded).turns]
    after = [*turns[1:], Turn("", "")]
    trained = (
        replace(each, train=each.train and _FAILED not in then.content)
        for each, then in zip(turns, after, strict=True)
    )
    return Conversation(id, source, tuple(trained))


def normal(text: str) -> str:
    """Without what depends on the machine: the folder of Python's libraries in a traceback."""
    return _LIBRARIES.sub(_IMAGE, text)


def lacking(answer: str, truth: Truth, *, language: str = "en") -> list[str]:
    """What is true and the answer does not state."""
    if language in _COMMAS:
        answer = _SEPARATOR.sub(lambda found: "." if found[0] == "," else ",", answer)
    return missing(Question("", "", (), truth), answer)


def lines(conversations: Iterable[Conversation]) -> str:
    """JSON Lines."""
    rows = (
        {"id": each.id, "source": each.source, "messages": [turn.as_json() for turn in each.turns]}
        for each in conversations
    )
    return "".join(dumped(row) + "\n" for row in rows)
