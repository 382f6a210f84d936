"""What the platform recorded, as lines of the data set: pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from training.evaluation.dataset import Question
from training.evaluation.scoring import missing
from training.examples.world import Truth

# Where libraries lie depends on the machine: as they lie in the sandbox's image.
_LIBRARIES = re.compile(r'(?<=File ")[^"\n]*/site-packages/')
_IMAGE = "/usr/local/lib/python3.11/site-packages/"
_FAILED = "Traceback (most recent call last):"
_SEPARATOR = re.compile(r"(?<=\d)[.,](?=\d)")
_COMMAS = frozenset({"de", "fr", "es"})


class Message(TypedDict):
    """One message; the loss counts those that are to be trained."""

    role: str
    content: str
    train: bool


class Conversation(TypedDict):
    """One line of the data set. `source` groups those of the same data."""

    id: str
    source: str
    messages: list[Message]


def conversation(
    id: str, source: str, messages: Sequence[Mapping[str, str]], last: str
) -> Conversation:
    """`messages`: what the model saw last; `last`: what it wrote then. Not trained is a turn whose
    program failed, so that recovering is learned and failing is not; nor are a thread's earlier
    answers, which are told without the work that led to them."""
    told = [*messages, {"role": "assistant", "content": last}]
    asked = max(at for at, each in enumerate(told) if each["role"] == "user")
    return {
        "id": id,
        "source": source,
        "messages": [
            {
                "role": each["role"],
                "content": normal(each["content"]),
                "train": each["role"] == "assistant"
                and at > asked
                and _FAILED not in "".join(each["content"] for each in told[at + 1 : at + 2]),
            }
            for at, each in enumerate(told)
        ],
    }


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
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in conversations)
