"""Files beside programs that nobody has read: no link is followed, nothing half is left."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from services.sandbox.errors import NoSuchFile, UnsafePath, WorkspaceFull
from services.sandbox.isolation.port import Account
from services.sandbox.workspace import Workspace, remove_tree


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "ws", Account.own(), 10_000)
    made.create()
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("kept")
    return folder


def put(workspace: Workspace, path: str, data: bytes) -> None:
    with workspace.writing(path, room_bytes=workspace.room_bytes()) as file:
        file.write(data)
        file.commit()


def test_file_is_written_and_read_back(workspace: Workspace) -> None:
    put(workspace, "a/b/c.csv", b"x,y\n")
    opened, info = workspace.open_file("a/b/c.csv")
    with opened as file:
        assert file.read() == b"x,y\n"
    assert (info.path, info.size_bytes, info.media_type) == ("a/b/c.csv", 4, "text/csv")
    assert workspace.digest("a/b/c.csv")[1] == hashlib.sha256(b"x,y\n").hexdigest()
    assert [file.path for file in workspace.files()] == ["a/b/c.csv"]


def test_file_without_commit_leaves_nothing(workspace: Workspace) -> None:
    with workspace.writing("a.csv", room_bytes=100) as file:
        file.write(b"half")
        assert workspace.files() == []
    assert os.listdir(workspace.root) == []


def test_file_over_the_room_is_refused_and_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceFull), workspace.writing("a", room_bytes=3) as file:
        file.write(b"four")
    assert os.listdir(workspace.root) == []


@pytest.mark.req("X3")
def test_planted_link_is_not_followed_on_reading(workspace: Workspace, secret: Path) -> None:
    (workspace.root / "link").symlink_to(secret / "secret.txt")
    (workspace.root / "folder").symlink_to(secret)
    (workspace.root / "proc").symlink_to("/proc/self/environ")
    for path in ("link", "folder/secret.txt", "proc"):
        with pytest.raises((UnsafePath, NoSuchFile)):
            workspace.open_file(path)
    assert workspace.files() == []
    assert workspace.usage_bytes() == 0


@pytest.mark.req("X3")
def test_planted_link_is_not_written_through(workspace: Workspace, secret: Path) -> None:
    (workspace.root / "out.csv").symlink_to(secret / "secret.txt")
    put(workspace, "out.csv", b"data")
    assert (secret / "secret.txt").read_text() == "kept"
    assert not (workspace.root / "out.csv").is_symlink()
    (workspace.root / "folder").symlink_to(secret)
    with pytest.raises(UnsafePath):
        put(workspace, "folder/new.txt", b"data")
    assert os.listdir(secret) == ["secret.txt"]


def test_dangling_link_is_replaced_not_created_through(workspace: Workspace, secret: Path) -> None:
    (workspace.root / "new").symlink_to(secret / "made")
    put(workspace, "new", b"data")
    assert not (secret / "made").exists()


def test_pipe_device_and_socket_are_no_files(workspace: Workspace) -> None:
    os.mkfifo(workspace.root / "pipe")
    with pytest.raises(UnsafePath):
        workspace.open_file("pipe")
    assert workspace.files() == []


def test_folder_in_the_way_is_told(workspace: Workspace) -> None:
    (workspace.root / "a.csv").mkdir()
    with pytest.raises(UnsafePath):
        put(workspace, "a.csv", b"1")
    assert os.listdir(workspace.root) == ["a.csv"]


def test_tree_without_end_is_bounded(workspace: Workspace) -> None:
    at = workspace.root
    for _ in range(60):
        at = at / "d"
        at.mkdir()
    (at / "deep").write_text("x")
    assert workspace.files() == []


def test_closed_folders_are_removed(workspace: Workspace, secret: Path) -> None:
    inner = workspace.root / "closed"
    inner.mkdir()
    (inner / "file").write_text("x")
    (workspace.root / "link").symlink_to(secret)
    inner.chmod(0)
    workspace.remove()
    assert not workspace.root.exists()
    assert (secret / "secret.txt").exists()
    remove_tree(workspace.root)


def test_tree_deeper_than_a_stack_is_removed(workspace: Workspace) -> None:
    at = os.open(workspace.root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    assert workspace.files() == []
    workspace.remove()
    assert not workspace.root.exists()


def test_content_moves_into_a_slot_and_the_slot_takes_the_name(
    workspace: Workspace, tmp_path: Path
) -> None:
    put(workspace, "a/b.csv", b"1")
    (workspace.root / ".isobath-left").write_text("half")
    slot = tmp_path / "slot"
    slot.mkdir(mode=0o700)
    inode = slot.stat().st_ino
    workspace.move_into(slot, Account.own())
    assert workspace.root.stat().st_ino == inode
    assert os.listdir(workspace.root) == ["a"]
    assert [file.path for file in workspace.files()] == ["a/b.csv"]
    assert not slot.exists()


def test_files_belong_to_the_kernels_account(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, which gives files away")
    made = Workspace(tmp_path / "ws", Account(231_072, 231_072, switch=True), 100)
    made.create()
    put(made, "a/b", b"1")
    for path in (made.root, made.root / "a", made.root / "a/b"):
        assert path.stat().st_uid == 231_072
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
