"""What may stand in a workspace, and what is made of names that may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.errors import UnsafePath
from services.sandbox.names import checked, numbered, tamed, with_suffix


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/.", "a\x00b", "a\nb", "a\u202eb"),
        *(".isobath-x", "a/.isobath-x", "/".join("a" * 40), "x" * 300, "a/\ud800", "~/\x7f"),
    ],
)
def test_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        checked(path)


@pytest.mark.parametrize("path", ["a", "a/b.csv", "ä ö/ü.csv", "..a", "a..b/c", "~", "-rf", "日本"])
def test_plain_path_is_kept(path: str) -> None:
    assert "/".join(checked(path)) == path
    assert tamed(path) == path


@pytest.mark.req("B3")
@given(st.text(max_size=1500))
def test_any_name_is_tamed_to_one_that_can_stand(name: str) -> None:
    assert checked(tamed(name))
    assert tamed(name) == tamed(name)


@pytest.mark.req("B3")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "__/__/etc/passwd"),
        ("/abs/olute.csv", "abs/olute.csv"),
        ("a//b/./c", "a/b/c"),
        ("line\nbreak.csv", "line_break.csv"),
        (".isobath-1", "_.isobath-1"),
        ("", "unnamed"),
    ],
)
def test_hostile_names(name: str, expected: str) -> None:
    assert tamed(name) == expected


def test_long_name_keeps_its_ending_and_stays_its_own() -> None:
    first, second = tamed("a" * 400 + "1.csv"), tamed("a" * 400 + "2.csv")
    assert first.endswith(".csv")
    assert first != second


def test_suffix_and_number() -> None:
    assert with_suffix("orders", ".csv") == "orders.csv"
    assert with_suffix("orders.CSV", ".csv") == "orders.CSV"
    assert numbered("a/b.csv", 2) == "a/b-2.csv"
