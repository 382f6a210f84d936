"""Names of blobs."""

import pytest

from services.blob_connector.paths import problem_of


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a/b.csv", ""),
        ("", "one blob"),
        ("a/", "one blob"),
        ("a/../b", "folder"),
        ("a\\b", "backslash"),
        ("a\nb", "control"),
        ("a*.csv", "patterns"),
        ("x" * 1025, "1024"),
        ("a/" * 254 + "b", "254"),
        ("é ü/#%&.csv", ""),
    ],
)  # fmt: skip
def test_name_is_checked_before_it_is_written(name: str, problem: str) -> None:
    assert problem in problem_of(name) and bool(problem) == bool(problem_of(name))
