"""Tokens of pages: what went in comes out, of this list alone."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectorkit.files.paging import DEFAULT, LARGEST, place_of, size_of, token_of
from servicekit.status import InvalidField

TEXTS = st.lists(st.text(max_size=20), max_size=4)


@given(TEXTS, TEXTS)
def test_place_comes_back_from_its_token(asked: list[str], place: list[str]) -> None:
    assert place_of(token_of(asked, place), asked, parts=len(place)) == place


@given(TEXTS, TEXTS)
def test_token_of_another_list_is_refused(asked: list[str], other: list[str]) -> None:
    if "\0".join(asked) != "\0".join(other):
        with pytest.raises(InvalidField, match="another list"):
            place_of(token_of(asked, ["x"]), other, parts=1)


@pytest.mark.parametrize(
    "told", [[], ["x"], ["x", 1], ["x", "a", "b"], {"x": 1}, "xy", None, 5, [["x"], "a"]]
)
def test_token_that_was_not_given_is_refused(told: object) -> None:
    token = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    with pytest.raises(InvalidField, match="page_token"):
        place_of(token, ["x"], parts=1)


def test_token_that_is_nested_without_end_is_refused() -> None:
    token = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(InvalidField, match="page_token"):
        place_of(token, ["x"], parts=1)


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="page_token"):
        place_of(text, ["x"], parts=1)


def test_size_has_a_default_and_bounds() -> None:
    assert (size_of(0), size_of(1), size_of(LARGEST)) == (DEFAULT, 1, LARGEST)
    for size in (-1, LARGEST + 1):
        with pytest.raises(InvalidField):
            size_of(size)
