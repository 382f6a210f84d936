import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.blob_connector.paths import BadPattern, is_pattern, name_of, pattern

CASES = [
    ("a.csv", ["a.csv"], ["b/a.csv", "a_csv", "A.csv"]),
    ("*.csv", ["a.csv", ".csv"], ["b/a.csv"]),
    ("sales/*.csv", ["sales/a.csv"], ["sales/x/a.csv", "sales"]),
    ("sales/2026-*/*.csv", ["sales/2026-01/a.csv"], ["sales/2025-01/a.csv", "sales/2026-01/b/a.csv"]),
    ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["a.csvx"]),
    ("sales/**", ["sales/a", "sales/x/y"], ["sale/a"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb"]),
    ("a?c", ["abc"], ["a/c", "ac"]),
    ("[ab].csv", ["a.csv", "b.csv"], ["c.csv"]),
    ("[!ab].csv", ["c.csv"], ["a.csv", "/.csv"]),
    ("[0-9][0-9].csv", ["42.csv"], ["4.csv"]),
    ("x.{csv,json}", ["x.csv", "x.json"], ["x.parquet"]),
    ("{a,b}/{c,d*}", ["a/c", "b/dd"], ["a/e"]),
    ("a.b+c(d)", ["a.b+c(d)"], ["aXb+c(d)"]),
    ("é/*", ["é/ü"], ["e/u"]),
]  # fmt: skip


@pytest.mark.req("B2")
@pytest.mark.parametrize(("glob", "fitting", "others"), CASES)
def test_pattern_fits_what_it_should(glob: str, fitting: list[str], others: list[str]) -> None:
    compiled = pattern(glob)
    assert all(compiled.matches(name) for name in fitting)
    assert not any(compiled.matches(name) for name in others)


@pytest.mark.parametrize(
    ("glob", "prefix"),
    [("sales/2026-*/x", "sales/2026-"), ("*", ""), ("a/b.csv", "a/b.csv"), ("a/{b,c}", "a/")],
)
def test_prefix_is_the_longest_without_magic(glob: str, prefix: str) -> None:
    assert pattern(glob).prefix == prefix


@pytest.mark.parametrize("glob", ["[ab", "{a,b", "x" * 1025, "[z-a]"])
def test_torn_pattern_is_refused(glob: str) -> None:
    with pytest.raises(BadPattern):
        pattern(glob)


NAMES = st.text(alphabet="ab/.*?", max_size=12)


@given(st.text(alphabet="ab/.*?[]{},!-", max_size=12), NAMES)
def test_any_pattern_is_refused_or_matches_only_under_its_prefix(glob: str, name: str) -> None:
    try:
        compiled = pattern(glob)
    except BadPattern:
        return
    if compiled.matches(name):
        assert name.startswith(compiled.prefix)


@given(st.text(alphabet="ab.*?", max_size=10), st.text(alphabet="ab.", max_size=10))
def test_pattern_within_a_folder_agrees_with_fnmatch(glob: str, name: str) -> None:
    if "**" not in glob:
        assert pattern(glob).matches(name) == fnmatch.fnmatchcase(name, glob)


@given(st.text(max_size=50))
def test_name_without_magic_matches_itself(name: str) -> None:
    if not is_pattern(name):
        assert pattern(name).matches(name)


@pytest.mark.parametrize(("path", "name"), [("a/b.csv", "b.csv"), ("a/b/", "b"), ("c", "c")])
def test_name_is_the_last_part(path: str, name: str) -> None:
    assert name_of(path) == name
