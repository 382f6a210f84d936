"""Groups to splits: deterministic for a seed, no group on two sides. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = ("train", "validation", "test")
# of all conversations: below it, a share counts as met
_NEAR = 0.02


@dataclass(frozen=True)
class Shares:
    """How much of the conversations each split is to have; together 1."""

    train: float = 0.9
    validation: float = 0.05
    test: float = 0.05

    def __post_init__(self) -> None:
        # written so that what is no number does not pass
        if not (min(self.of.values()) >= 0 and abs(sum(self.of.values()) - 1) <= 1e-6):
            raise ValueError("the shares of a split are numbers from 0 on that make 1 together")

    @property
    def of(self) -> Mapping[str, float]:
        """By the name of the split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @classmethod
    def parse(cls, text: str) -> "Shares":
        """From "0.9/0.05/0.05"; what is left out at the end is 0. Raises ValueError."""
        parts = [float(part) for part in text.split("/")]
        if len(parts) > len(NAMES):
            raise ValueError(f"at most {len(NAMES)} shares: {' / '.join(NAMES)}")
        return cls(*parts, *[0.0] * (len(NAMES) - len(parts)))


def assigned(sizes: Mapping[str, int], shares: Shares, seed: int) -> dict[str, str]:
    """The split of each group; `sizes` are conversations by group.

    Groups come in the order of their hash with the seed, and each goes where most is missing: so
    the parts come as near to their shares as whole groups allow.
    """
    total = sum(sizes.values())
    missing = {name: share * total for name, share in shares.of.items() if share > 0}
    found: dict[str, str] = {}
    for group in sorted(sizes, key=lambda each: _order(each, seed)):
        found[group] = name = max(missing, key=lambda each: missing[each])
        missing[name] -= sizes[group]
    return found


def _order(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def unmet(sizes: Mapping[str, int], found: Mapping[str, str], shares: Shares) -> list[str]:
    """What there is to say of splits that came out other than they were asked for."""
    total = sum(sizes.values())
    told = []
    for name, share in shares.of.items():
        got = sum(size for group, size in sizes.items() if found[group] == name)
        if share > 0 and total and (not got or abs(got / total - share) > _NEAR):
            told.append(
                f"{name} has {got / total:.1%} of the conversations where {share:.1%} were asked "
                f"for: {len(sizes)} groups of sources cannot be cut finer"
            )
    return told
