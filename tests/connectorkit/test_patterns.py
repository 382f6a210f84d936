import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectorkit.files.patterns import BadPattern, is_pattern, name_of, pattern

CASES = [
    ("a.csv", ["a.csv"], ["b/a.csv", "a_csv", "A.csv"]),
    ("*.csv", ["a.csv", ".csv"], ["b/a.csv"]),
    ("sales/*.csv", ["sales/a.csv"], ["sales/x/a.csv", "sales"]),
    ("sales/2026-*/*.csv", ["sales/2026-01/a.csv"], ["sales/2025-01/a.csv", "sales/2026-01/b/a.csv"]),
    ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["a.csvx"]),
    ("sales/**", ["sales/a", "sales/x/y"], ["sale/a"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb"]),
    ("**", ["a", "a/b", "a/b/c"], ["a/", ""]),
    ("sales/**.csv", ["sales/a.csv", "sales/x/y/a.csv"], ["a.csv", "sales/a.json"]),
    ("**/2026-*/**/*.csv", ["2026-1/a.csv", "x/2026-1/y/z/a.csv"], ["2026-1.csv", "x/2026-1"]),
    ("a/**/b/**/c", ["a/b/c", "a/x/b/y/c", "a/b/b/c"], ["a/c", "a/b", "a/x/c"]),
    ("*a*a*", ["aa", "xaxax"], ["a", "a/a"]),
    ("[*]{x,y[{]}", ["*x", "*y{"], ["ax", "*y"]),
    ("{a,{b,c}d}{,.gz}", ["a", "a.gz", "bd", "cd.gz"], ["ad", "b"]),
    ("a}b,c", ["a}b,c"], ["ab"]),
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
    [
        ("sales/2026-*/x", "sales/2026-"),
        ("*", ""),
        ("a/b.csv", "a/b.csv"),
        ("a/{b,c}", "a/"),
        ("{sales/a,sales/b*}", "sales/"),
        ("a/**/b", "a/"),
        ("s/**.csv", "s/"),
    ],
)
def test_prefix_is_the_longest_without_magic(glob: str, prefix: str) -> None:
    assert pattern(glob).prefix == prefix


@pytest.mark.parametrize("glob", ["[ab", "{a,b", "x" * 1025, "[z-a]", "{a,b}" * 9, "a**" * 9])
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


SEGMENTS = st.sampled_from(["**", "a", "b", "*", "a*", "*b", "a*b*", "?", "ab"])
FOLDERS = st.lists(st.sampled_from(["a", "b", "ab", "aab", "ba"]), min_size=1, max_size=5)


@given(st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join), FOLDERS.map("/".join))
def test_pattern_over_folders_agrees_with_trying_every_way(glob: str, name: str) -> None:
    segments = glob.split("/")
    doubled = any(a == b == "**" for a, b in itertools.pairwise(segments))
    if not doubled and glob.count("**") < 3:
        assert pattern(glob).matches(name) == whole(segments, name.split("/"))


def whole(segments: list[str], names: list[str]) -> bool:
    if not segments:
        return not names
    if segments[0] == "**":
        least = 1 if len(segments) == 1 else 0
        return any(whole(segments[1:], names[at:]) for at in range(least, len(names) + 1))
    return (
        bool(names)
        and fnmatch.fnmatchcase(names[0], segments[0])
        and whole(segments[1:], names[1:])
    )


@pytest.mark.parametrize(
    "glob", ["*a" * 300 + "b", "**/" * 200 + "b", "**/a/" * 150 + "b", "a?*" * 300]
)
@pytest.mark.timeout(20)
def test_no_pattern_keeps_the_process_busy(glob: str) -> None:
    compiled = pattern(glob)
    for name in ("a" * 1024, "a/" * 500 + "a", "aa/" * 300 + "c"):
        compiled.matches(name)


@given(st.text(max_size=50))
def test_name_without_magic_matches_itself(name: str) -> None:
    if not is_pattern(name):
        assert pattern(name).matches(name)


@pytest.mark.parametrize(("path", "name"), [("a/b.csv", "b.csv"), ("a/b/", "b"), ("c", "c")])
def test_name_is_the_last_part(path: str, name: str) -> None:
    assert name_of(path) == name
