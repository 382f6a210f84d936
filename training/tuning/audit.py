"""Labels held against the words that the model wrote, from the tokens alone.

It knows nothing of templates, offsets or spans: what is labelled is decoded, and has to be those
words. So a mistake in making the labels is not repeated here.
"""

import unicodedata
from collections.abc import Callable, Sequence

from training.tuning import masking
from training.tuning.examples import Example

Decode = Callable[[Sequence[int]], str]
_SHOWN_CHARS = 80


class Mislabelled(Exception):
    """A label that is none of the model's words, or a word of its that has none."""


def check(
    example: Example,
    ids: Sequence[int],
    labels: Sequence[int],
    *,
    decode: Decode,
    ends: Sequence[str],
) -> int:
    """One row of a batch, padding and all; `ends` end a turn. The tokens that count. Raises
    Mislabelled."""
    stretches = masking.runs(labels)
    for start, stop in stretches:
        if list(ids[start:stop]) != list(labels[start:stop]):
            raise _wrong(example, "labels that are not their tokens", decode(labels[start:stop]))
    found = [_bare(decode(ids[start:stop]), ends) for start, stop in stretches]
    _compare(example, [text for text in found if text], [_same(text) for text in example.texts])
    count = sum(stop - start for start, stop in stretches)
    if count != example.trained:
        raise _wrong(example, f"{count} labels in place of {example.trained}", "")
    return count


def _compare(example: Example, found: list[str], written: list[str]) -> None:
    """The stretches are the pieces, in order. Where tokens lie across a border, those are missing,
    and no more characters than they have."""
    if found == written:
        return
    missing = sum(map(len, written)) - sum(map(len, found))
    at = 0
    for text in found:
        place = next((i for i in range(at, len(written)) if text in written[i]), None)
        if place is None:
            raise _wrong(example, "text that the model did not write has labels", text)
        # what is left of this piece: a token within it may be another's too
        at = place if len(written[place]) > len(text) else place + 1
    if missing > example.lost:
        unlabelled = next((text for text in written if text not in found), "")
        raise _wrong(example, "text that the model wrote has no label", unlabelled)
    if not example.lost or missing < 0:
        raise _wrong(example, "labels begin or end at other places than the text", "")


def _bare(text: str, ends: Sequence[str]) -> str:
    return _same(next((text.removesuffix(end) for end in ends if text.endswith(end)), text))


def _same(text: str) -> str:
    """Some tokenizers compose characters first (NFC)."""
    return unicodedata.normalize("NFC", text)


def _wrong(example: Example, what: str, text: str) -> Mislabelled:
    shown = f": {text[:_SHOWN_CHARS]!r}" if text else ""
    return Mislabelled(
        f"conversation {example.id}: {what}{shown}. This is a defect of the masking."
    )
