"""The check of labels, which has to find what the masking might get wrong."""

import pytest

from training.tuning import audit
from training.tuning.audit import Mislabelled
from training.tuning.examples import Example
from training.tuning.masking import IGNORED

pytestmark = pytest.mark.req("T1")
TEXT = "user: how many?\nassistant: seven apples<end>\nexecute: 7\nassistant: 7 in all<end>\n"
IDS = [ord(each) for each in TEXT]
WRITTEN = ("seven apples", "7 in all")


def decode(ids) -> str:
    return "".join(map(chr, ids))


def labels(*counted: str) -> list[int]:
    """Of each text where it comes first behind the one before it."""
    found, at = [IGNORED] * len(IDS), 0
    for text in counted:
        start = TEXT.index(text, at)
        at = start + len(text)
        found[start:at] = IDS[start:at]
    return found


def check(labels, lost: int = 0) -> int:
    example = Example("run-1", "", IDS, labels, WRITTEN, int(lost > 0), lost)
    return audit.check(example, IDS, labels, decode=decode, ends=("<end>",))


def test_labels_of_what_the_model_wrote_are_right():
    assert check(labels("seven apples<end>", "7 in all<end>")) == 30


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (labels("seven apples<end>", "7\n", "7 in all<end>"), "did not write.*'7"),
        (labels("how many?", "seven apples<end>", "7 in all<end>"), "did not write.*how many"),
        (labels("seven apples<end>"), "no label.*7 in all"),
        (labels(" seven apples<end>", "7 in all<end>"), "did not write"),
        (labels("seven apples<end>", "7 in al"), "no label"),
        (labels("seven apples<end>\nexecute: 7\nassistant: 7 in all<end>"), "did not write"),
    ],
)
def test_labels_elsewhere_are_told_with_the_conversation_and_the_text(wrong, told):
    with pytest.raises(Mislabelled, match=rf"conversation run-1: (?s:.*){told}"):
        check(wrong)


def test_labels_of_other_tokens_are_refused():
    wrong = labels("seven apples<end>", "7 in all<end>")
    wrong[TEXT.index("seven")] += 1
    with pytest.raises(Mislabelled, match="not their tokens"):
        check(wrong)


def test_only_characters_of_tokens_across_a_border_may_be_missing():
    shorter = labels("even apples<end>", "7 in all<end>")
    assert check(shorter, lost=1) == 29
    with pytest.raises(Mislabelled):
        check(shorter)
    with pytest.raises(Mislabelled, match="no label"):
        check(labels("ven apples<end>", "7 in all<end>"), lost=1)
