"""What a build read, dropped, replaced and wrote: counted while it goes, told in `stats.json`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from training.data.conversation import Conversation

Tokens = Callable[[str], int]
# of English, code and tables together
CHARS_PER_TOKEN = 4


def estimated(text: str) -> int:
    """Tokens of a text where no tokenizer is given."""
    return -(-len(text) // CHARS_PER_TOKEN)


@dataclass
class Split:
    """What is in one split."""

    conversations: int = 0
    groups: set[str] = field(default_factory=set)
    messages: int = 0
    programs: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest_tokens: int = 0
    pairs: Counter[str] = field(default_factory=Counter)

    def take(self, conversation: Conversation, programs: int, count: Tokens) -> None:
        """One more conversation."""
        pieces = [
            (count(text), counts) for turn in conversation.turns for text, counts in turn.pieces()
        ]
        tokens = sum(size for size, _ in pieces)
        self.conversations += 1
        self.groups.add(conversation.source)
        self.messages += len(conversation.turns)
        self.programs += programs
        self.tokens += tokens
        self.trained_tokens += sum(size for size, counts in pieces if counts)
        self.longest_tokens = max(self.longest_tokens, tokens)

    def as_json(self) -> dict[str, object]:
        """As it stands in `stats.json`."""
        return {
            "conversations": self.conversations,
            "groups_of_sources": len(self.groups),
            "messages": self.messages,
            "programs": self.programs,
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
            "longest_tokens": self.longest_tokens,
            "pairs": dict(sorted(self.pairs.items())),
        }


@dataclass
class Statistics:
    """Of one build. `dropped` by cause, `scrubbed` by rule, `left_out` by format."""

    read: int = 0
    bad_lines: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    scrubbed: Counter[str] = field(default_factory=Counter)
    scrubbed_runs: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    source_types: Counter[str] = field(default_factory=Counter)
    splits: dict[str, Split] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Conversations in all splits."""
        return sum(each.conversations for each in self.splits.values())

    @property
    def pairs(self) -> int:
        """Preference pairs in all splits."""
        return sum(each.pairs.total() for each in self.splits.values())

    def as_json(self) -> dict[str, object]:
        """As it stands in `stats.json`."""
        return {
            "records": self.read,
            "bad_lines": self.bad_lines,
            "conversations": self.written,
            "pairs": self.pairs,
            "dropped": dict(sorted(self.dropped.items())),
            "scrubbed": dict(sorted(self.scrubbed.items())),
            "scrubbed_runs": self.scrubbed_runs,
            "left_out_of_format": dict(sorted(self.left_out.items())),
            "source_types": dict(sorted(self.source_types.items())),
            "splits": {name: each.as_json() for name, each in self.splits.items()},
            "told": self.told,
        }
