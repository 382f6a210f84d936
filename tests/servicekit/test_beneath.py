"""Files beneath a folder that others write too."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit import beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A tree with a file in it, and a secret beside it. No descriptor may be left."""
    before = sorted(os.listdir("/proc/self/fd"))
    place = tmp_path / "root"
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "b" / "c.csv").write_bytes(b"mine")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "c.csv").write_bytes(b"kept")
    yield place
    assert sorted(os.listdir("/proc/self/fd")) == before


def read(root: Path, *parts: str) -> bytes:
    top = os.open(root, beneath.FOLDER)
    with beneath.folder(top, parts[:-1]) as at:
        descriptor, found = beneath.regular(at, parts[-1])
        with os.fdopen(descriptor, "rb") as file:
            assert found.st_size == os.fstat(file.fileno()).st_size
            return file.read()


def test_file_is_read_by_its_parts(root: Path) -> None:
    assert read(root, "a", "b", "c.csv") == b"mine"
    with pytest.raises(FileNotFoundError):
        read(root, "a", "x", "c.csv")


@pytest.mark.req("X3")
def test_link_in_the_middle_or_at_the_end_is_not_followed(root: Path) -> None:
    (root / "way").symlink_to("../secret")
    (root / "a" / "link.csv").symlink_to("b/c.csv")
    with pytest.raises(OSError, match="way"):
        read(root, "way", "c.csv")
    with pytest.raises(beneath.NotRegular):
        read(root, "a", "link.csv")


@pytest.mark.req("X3")
def test_what_is_no_regular_file_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for name in ("pipe", "a"):
        with pytest.raises(beneath.NotRegular):
            read(root, name)


@pytest.mark.req("X3")
def test_file_that_becomes_a_pipe_while_it_is_opened_is_let_go(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def swapping(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == "c.csv":
            (root / "a" / "b" / "c.csv").unlink()
            os.mkfifo(root / "a" / "b" / "c.csv")
        return opened(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(beneath.NotRegular):
        read(root, "a", "b", "c.csv")


def test_step_of_ones_own_is_taken(root: Path) -> None:
    def made(at: int, name: str) -> int:
        os.mkdir(name, dir_fd=at)
        return beneath.step(at, name)

    with beneath.folder(os.open(root, beneath.FOLDER), ("x", "y"), made):
        assert (root / "x" / "y").is_dir()
