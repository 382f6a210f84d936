"""The rules of names: pure, by tables of cases and by whatever hypothesis thinks of."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.file_connector.paths import (
    MAX_NAME_CHARS,
    MAX_PART_BYTES,
    MAX_PARTS,
    BadName,
    folder_parts,
    is_shown,
    parts_of,
    place_of,
    roots_of,
)
from services.file_connector.settings import Settings

GOOD = [
    ("a.csv", ("a.csv",)),
    ("a/b/c.parquet", ("a", "b", "c.parquet")),
    ("with space/é ü.csv", ("with space", "é ü.csv")),
    ("a%2F..%2Fb", ("a%2F..%2Fb",)),
    ("..a/b..", ("..a", "b..")),
    ("a*b?[c].csv", ("a*b?[c].csv",)),
    ("~", ("~",)),
    ("C:/x", ("C:", "x")),
    ("-rf", ("-rf",)),
    ("＃／x", ("＃／x",)),
    ("x" * MAX_PART_BYTES, ("x" * MAX_PART_BYTES,)),
    ("a/" * (MAX_PARTS - 1) + "b", ("a",) * (MAX_PARTS - 1) + ("b",)),
]
BAD = [
    "",
    "/",
    "//",
    "/a",
    "//a",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "../a",
    "a/.",
    "a/..",
    "a/./b",
    "a/../b",
    "a/../../etc/passwd",
    "a\0b",
    "\0",
    "a/\0/b",
    "a\nb",
    "a\x7fb",
    "a\x1b[31m",
    "a\\b",
    "..\\a",
    "a/..\\..\\b",
    "\\\\server\\share",
    "bytes-\udcff-of-latin.csv",
    "\ud800",
    "x" * (MAX_PART_BYTES + 1),
    "é" * (MAX_PART_BYTES // 2 + 1),
    "a/" * MAX_PARTS + "b",
    "a" * 200 + ("/" + "a" * 200) * (MAX_NAME_CHARS // 200),
    ".isobath-0123",
    "a/.isobath-0123/b",
]
HIDDEN = [".env", ".git/config", "a/.ssh/id_rsa", "a/.b", "...", "..a/b"]


@pytest.mark.req("D11")
@pytest.mark.parametrize(("name", "parts"), GOOD)
def test_plain_name_is_its_parts(name: str, parts: tuple[str, ...]) -> None:
    assert parts_of(name, hidden=True) == parts
    assert folder_parts(f"{name}/", hidden=True) == folder_parts(name, hidden=True) == parts


@pytest.mark.req("D11", "X4")
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_name_that_could_lead_elsewhere_is_none(name: str, *, hidden: bool) -> None:
    with pytest.raises(BadName):
        parts_of(name, hidden=hidden)


@pytest.mark.parametrize("name", [each for each in BAD if each not in ("", "a/")], ids=ascii)
def test_folder_that_could_lead_elsewhere_is_none(name: str) -> None:
    with pytest.raises(BadName):
        folder_parts(name, hidden=True)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_names_are_none_unless_they_are_shown(name: str) -> None:
    with pytest.raises(BadName, match="hidden"):
        parts_of(name)
    assert "/".join(parts_of(name, hidden=True)) == name


def test_the_top_is_no_file_and_a_folder_without_parts() -> None:
    assert folder_parts("") == ()
    with pytest.raises(BadName):
        parts_of("")


ANY = st.text(st.characters() | st.sampled_from("./\\\0~%*"), max_size=60)


@given(ANY, st.booleans())
def test_whatever_the_name_it_stays_beneath(name: str, hidden: bool) -> None:
    """A name is refused, or it is the very path that it spells, beneath any root."""
    try:
        parts = parts_of(name, hidden=hidden)
    except BadName:
        return
    root = "/srv/root"
    joined = os.path.join(root, *parts)
    assert joined == f"{root}/{name}" == os.path.normpath(joined)
    assert os.path.commonpath([root, joined]) == root and joined != root
    assert "\0" not in joined and joined.encode()
    assert all(is_shown(part, hidden=hidden) for part in parts)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.csv", ".h", "/", "\\", "\0"]), max_size=8))
def test_whatever_is_built_of_dots_and_slashes_stays_beneath(pieces: list[str]) -> None:
    name = "/".join(pieces)
    try:
        parts = parts_of(name, hidden=True)
    except BadName:
        return
    assert not {"..", ".", ""} & set(parts) and "/".join(parts) == name


@given(st.binary(min_size=1, max_size=40))
def test_entry_that_is_shown_can_be_asked_for_by_its_name(raw: bytes) -> None:
    """Whatever bytes a folder gives as a name: it is left out, or a name that leads back to it."""
    name = os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))
    if is_shown(name):
        assert parts_of(name) == (name,)
        assert os.fsencode(name) == name.encode()


# Roots


def test_roots_are_named() -> None:
    given = ("reports=/srv/reports/", "lake.v2=/data/lake=1", "c=/var")
    assert roots_of(given) == {
        "reports": "/srv/reports",
        "lake.v2": "/data/lake=1",
        "c": "/var",
    }


@pytest.mark.parametrize(
    "root",
    [
        "/srv",
        "srv",
        "a=srv",
        "a=../srv",
        "=/srv",
        "a b=/srv",
        "a=/",
        "a=//",
        "a=/srv/../etc",
        "a=/srv/./x",
        "a=/srv//x",
        "a=/proc",
        "a=/proc/self",
        "a=/sys/kernel",
        "a=/dev/shm",
        "a=/run/secrets",
        "../a=/srv",
        "a=/srv\n",
    ],
)
def test_root_that_is_no_folder_of_data_is_refused_at_start(root: str) -> None:
    with pytest.raises(ValueError, match="ROOTS"):
        Settings(roots=(root,))


@pytest.mark.parametrize(
    "changes",
    [
        {"roots": ("a=/srv", "a=/data")},
        {"writable_roots": ("a",)},
        {"roots": ("a=/srv",), "writable_roots": ("b",)},
        {"threads": 0},
        {"max_file_bytes": 0},
        {"query_memory_bytes": 1},
        {"query_read_bytes": -1},
        {"queries": 0},
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"[A-Z]{4}"):
        Settings(**changes)


def test_place_of_a_source_is_two_texts() -> None:
    assert place_of({"root": "a", "folder": "b"}) == ("a", "b")
    assert place_of({}) == ("", "")
    with pytest.raises(BadName):
        place_of({"root": ["a"]})
