"""Runs that say the same: the same question and programs, or nearly. Pure.

What is compared is what a run teaches: its question and its programs, without regard to case and
to spaces. Near ones are found by MinHash over shingles of five tokens.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rensa

from training.data.record import Record

PERMUTATIONS = 128
# pairs as alike as the threshold share a band with more than 99 in 100
_BANDS = 32
_SEED = 42
_SHINGLE_TOKENS = 5
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CODE = re.compile(r"<Code>(.*?)(?:</Code>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Fingerprint:
    """Of one run: `exact` of its normalised text, `near` a signature of 512 bytes."""

    exact: bytes
    near: rensa.RMinHash


def fingerprint(record: Record) -> Fingerprint:
    """Of the run's question and programs; of its words where it has no program."""
    written = [each.content for each in record.messages[record.given :] if each.role == "assistant"]
    programs = [code for text in written for code in _CODE.findall(text)] or written
    tokens = _TOKEN.findall("\n".join((record.question, *programs)).casefold())
    near = rensa.RMinHash(PERMUTATIONS, _SEED)
    near.update(list(_shingles(tokens)))
    return Fingerprint(hashlib.blake2b(" ".join(tokens).encode(), digest_size=16).digest(), near)


def _shingles(tokens: Sequence[str]) -> Iterable[str]:
    last = max(1, len(tokens) - _SHINGLE_TOKENS + 1)
    return {" ".join(tokens[at : at + _SHINGLE_TOKENS]) for at in range(last)}


def doubles(fingerprints: Sequence[Fingerprint], threshold: float) -> dict[int, str]:
    """Which of these to drop and why, by place; they come best first, and the best is kept.
    `threshold` is the Jaccard similarity from which two are near; 1 = only exact ones."""
    index = rensa.RMinHashLSH(threshold, PERMUTATIONS, _BANDS)
    seen: set[bytes] = set()
    found: dict[int, str] = {}
    for at, each in enumerate(fingerprints):
        if each.exact in seen:
            found[at] = "the same as another"
        elif threshold < 1 and _is_near(each, fingerprints, index, threshold):
            found[at] = "nearly the same as another"
        else:
            seen.add(each.exact)
            index.insert(at, each.near)
    return found


def _is_near(
    each: Fingerprint,
    fingerprints: Sequence[Fingerprint],
    index: rensa.RMinHashLSH,
    threshold: float,
) -> bool:
    near = each.near
    return any(near.jaccard(fingerprints[at].near) >= threshold for at in index.query(near))
