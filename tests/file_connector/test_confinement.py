"""What is planted in a folder leads nowhere: links, pipes, sockets, devices, mounts, odd names."""

import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectorkit.files.errors import FileFault
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from services.file_connector import folders
from services.file_connector.errors import Changed, Forbidden, NoSuchFile, Unreachable
from services.file_connector.folders import Folder, Looking
from services.file_connector.storing import Writing
from tests.file_connector.conftest import Shelf, fault_of, joined, open_shelf

SECRET = b"a,b\nkept,secret\n"
pytestmark = pytest.mark.req("D11", "X4")


def device(place: Path) -> None:
    os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero


def pipe(place: Path) -> None:
    os.mkfifo(place)


def listening(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        # sun_path is short
        made.bind(os.path.relpath(place))


def folder(place: Path) -> None:
    place.mkdir()


def to_secret(place: Path) -> None:
    place.symlink_to(place.parent.parent / "outside" / "secret.csv")


def to_itself(place: Path) -> None:
    place.symlink_to(place.name)


def to_file_beneath(place: Path) -> None:
    (place.parent / "real.csv").write_bytes(SECRET)
    place.symlink_to("real.csv")


def to_environment(place: Path) -> None:
    place.symlink_to("/proc/self/environ")


def to_nowhere(place: Path) -> None:
    place.symlink_to("nowhere")


PLANTED = [
    pipe,
    listening,
    device,
    folder,
    to_secret,
    to_itself,
    to_file_beneath,
    to_environment,
    to_nowhere,
]


@pytest.fixture
def outside(shelf: Shelf) -> Path:
    """A folder beside the root, with a secret in it."""
    place = shelf.root.parent / "outside"
    place.mkdir()
    (place / "secret.csv").write_bytes(SECRET)
    return place


def plant(how: Callable[[Path], None], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)
    try:
        how(place)
    except PermissionError:
        pytest.skip("this account may make no devices")


@pytest.mark.parametrize("how", PLANTED, ids=lambda how: how.__name__)
async def test_planted_entry_is_neither_read_nor_listed_nor_written_through(
    shelf: Shelf, outside: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[Path], None]
) -> None:
    plant(how, shelf.root / "trap.csv", monkeypatch)
    async with asyncio.timeout(20):  # a pipe would hold the reader for ever
        for call in (
            shelf.fetch("trap.csv"),
            shelf.fetch("trap.csv", format=pb.FORMAT_ARROW),
            shelf.inspect("trap.csv"),
            shelf.preview("trap.csv"),
            shelf.query("FROM 'trap.csv'"),
            shelf.store("trap.csv", b"mine"),
            shelf.store("trap.csv", b"mine", overwrite=True),
        ):
            fault = await fault_of(call)
            assert fault.reason in ("SOURCE_FORBIDDEN", "PATH_NOT_FOUND", "ALREADY_EXISTS")
            assert "secret" not in str(fault) and str(shelf.root) not in str(fault)
        listed = {*await shelf.browse(), *await shelf.browse(glob="**")}
        assert listed <= {"real.csv", "trap.csv/"}
    assert (outside / "secret.csv").read_bytes() == SECRET
    assert os.path.lexists(shelf.root / "trap.csv")
    assert not [name for name in os.listdir(shelf.root) if name.startswith(".isobath-")]


async def test_planted_folder_leads_nowhere(shelf: Shelf, outside: Path) -> None:
    shelf.put("in/a.csv", b"a\n1\n")
    (shelf.root / "way").symlink_to(outside)
    (shelf.root / "in" / "up").symlink_to("../..")
    (shelf.root / "in" / "proc").symlink_to("/proc/self")
    for path in ("way/secret.csv", "in/up/outside/secret.csv", "in/proc/environ"):
        for call in (shelf.fetch(path), shelf.inspect(path), shelf.store(path, b"mine")):
            assert (await fault_of(call)).reason in ("PATH_NOT_FOUND", "SOURCE_FORBIDDEN")
    for path in ("way", "in/up", "in/proc"):
        assert (await fault_of(shelf.browse(path=path))).reason == "PATH_NOT_FOUND"
        assert await shelf.browse(glob=f"{path}/**") == []
    assert await shelf.browse(glob="**") == ["in/a.csv"]
    grant = await shelf.grant(config={"folder": "way"})
    assert (await fault_of(shelf.browse(grant=grant))).reason == "PATH_NOT_FOUND"
    assert sorted(os.listdir(outside)) == ["secret.csv"]


async def test_root_may_be_a_link_and_what_lies_in_it_may_not(
    tmp_path: Path, no_leaks: object
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.csv").write_text("a\n1\n")
    (real / "link.csv").symlink_to(real / "a.csv")
    (tmp_path / "root").symlink_to(real)
    async with open_shelf(tmp_path) as shelf:
        assert await shelf.browse() == ["a.csv"]
        assert joined(await shelf.fetch("a.csv")) == b"a\n1\n"
        assert (await fault_of(shelf.fetch("link.csv"))).reason == "SOURCE_FORBIDDEN"


async def test_hidden_files_are_shown_where_the_operator_says_so(
    tmp_path: Path, no_leaks: object
) -> None:
    async with open_shelf(tmp_path, hidden=True) as shelf:
        for name in (".env", ".git/config", "a/.b", ".isobath-0123"):
            shelf.put(name, b"x")
        assert await shelf.browse(glob="**") == [".env", ".git/config", "a/.b"]
        assert joined(await shelf.fetch(".git/config")) == b"x"
        assert (await fault_of(shelf.fetch(".isobath-0123"))).reason == "PATH_NOT_FOUND"


async def test_hidden_files_are_not_there_otherwise(shelf: Shelf) -> None:
    for name in (".env", ".git/config", "a/.b", "c.csv"):
        shelf.put(name, b"a\n1\n")
    assert await shelf.browse() == ["a/", "c.csv"]
    assert await shelf.browse(glob="**") == await shelf.browse(glob="{.,}*") == ["c.csv"]
    for name in (".env", ".git/config", "a/.b"):
        for call in (shelf.fetch(name), shelf.inspect(name), shelf.query(f"FROM '{name}'")):
            assert (await fault_of(call)).reason == "PATH_NOT_FOUND"
    assert (await fault_of(shelf.store(".env", b"x", overwrite=True))).reason == "INVALID_FIELD"
    for glob in (".*", ".git/*", "a/.*"):
        assert (await fault_of(shelf.fetch(glob))).reason == "PATH_NOT_FOUND"


async def test_names_that_cannot_be_told_are_left_out(shelf: Shelf) -> None:
    raw = os.fsencode(shelf.root)
    for name in (
        b"latin-\xe9.csv",
        b"line\nfeed.csv",
        b"back\\slash.csv",
        b"esc\x1b[0m",
        b"good.csv",
    ):
        (shelf.root / os.fsdecode(name)).write_bytes(b"a\n1\n")
    os.mkdir(raw + b"/folder-\xff")
    (shelf.root / os.fsdecode(b"folder-\xff") / "a.csv").write_bytes(b"a\n1\n")
    assert await shelf.browse() == await shelf.browse(glob="**") == ["good.csv"]
    assert (await shelf.inspect("*.csv")).members == []


async def test_deep_folders_are_listed_as_far_as_they_can_be_named(shelf: Shelf) -> None:
    deepest = "/".join(["d"] * 63)
    shelf.put(f"{deepest}/a.csv", b"a\n1\n")
    # as deep as the system lets a path be, one folder by one
    at = os.open(shelf.root / deepest, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("b.csv", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    assert await shelf.browse(glob="**") == [f"{deepest}/a.csv"]
    assert joined(await shelf.fetch(f"{deepest}/a.csv")) == b"a\n1\n"
    assert (await fault_of(shelf.fetch(f"{deepest}/d/a.csv"))).reason == "PATH_NOT_FOUND"
    subprocess.run(["rm", "-rf", shelf.root / "d"], check=True)


async def test_other_file_system_is_not_entered(shelf: Shelf, tmp_path: Path) -> None:
    """In a mount namespace of its own, for nobody else."""
    place = shelf.root / "mounted"
    place.mkdir()
    code = MOUNTED.format(place=str(place), root=str(shelf.root))
    ran = await asyncio.create_subprocess_exec(
        *("unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", code),
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": ".:gen"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, error = await ran.communicate()
    if ran.returncode and b"unshare" in error:
        pytest.skip("this machine lets nobody mount")
    assert told.decode().split() == ["[]", "Forbidden", "Forbidden"], error.decode()


MOUNTED = """
import subprocess, threading
subprocess.run(["mount", "-t", "tmpfs", "none", {place!r}], check=True)
open({place!r} + "/a.csv", "w").write("x")
from services.file_connector.folders import Folder, Looking
folder = Folder("data", {root!r}, (), None)
print(list(folder.tree("", "", Looking(1000, threading.Event()))))
for look in (lambda: folder.file("mounted/a.csv"), lambda: folder.require_folder("mounted")):
    try:
        look()
    except Exception as error:
        print(type(error).__name__)
"""


# Whatever lies in a folder

NODES = st.dictionaries(
    st.tuples(*[st.sampled_from(["a", "b.csv", "c", ".h"])] * 3),
    st.sampled_from(["file", "folder", "out", "up", "self", "pipe"]),
    max_size=12,
)


@given(NODES, st.sampled_from(["", "a", "a/", "b.csv", "a/b"]), st.integers(1, 4))
@settings(max_examples=60)
def test_of_any_tree_the_regular_files_are_seen_and_nothing_else_can_be_opened(
    nodes: dict[tuple[str, ...], str], prefix: str, page: int
) -> None:
    with TemporaryDirectory() as kept:
        root = Path(kept) / "root"
        root.mkdir()
        (Path(kept) / "secret").write_bytes(SECRET)
        for parts, kind in sorted(nodes.items()):
            grow(root, parts[: 1 + len(parts[0]) % 3], kind)
        place = Folder("data", str(root), (), None)  # type: ignore[arg-type]
        wanted = [name for name in regular(root) if name.startswith(prefix)]
        assert paged(place, prefix, page) == wanted
        for found in map(place.file, wanted):
            descriptor = place.open(found)
            assert os.read(descriptor, 100) == b"mine"
            os.close(descriptor)
        for path in root.rglob("*"):
            name = str(path.relative_to(root))
            if name not in regular(root):
                with pytest.raises(FileFault):
                    place.file(name)


def grow(root: Path, parts: tuple[str, ...], kind: str) -> None:
    """One more thing in the tree; not where another is in its way."""
    place = root.joinpath(*parts)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place) or any(each.is_symlink() for each in place.parents):
            return
        match kind:
            case "file":
                place.write_bytes(b"mine")
            case "folder":
                place.mkdir()
            case "out":
                place.symlink_to(root.parent / "secret")
            case "up":
                place.symlink_to("..")
            case "self":
                place.symlink_to(place.name)
            case "pipe":
                os.mkfifo(place)


def regular(root: Path) -> list[str]:
    """As the standard library walks, links not followed, hidden things left out."""
    found = []
    for folder, folders_, names in os.walk(root):
        folders_[:] = [name for name in folders_ if not name.startswith(".")]
        for path in (Path(folder) / name for name in names if not name.startswith(".")):
            if stat.S_ISREG(path.lstat().st_mode):
                found.append(str(path.relative_to(root)))
    return sorted(found)


def paged(place: Folder, prefix: str, page: int) -> list[str]:
    """As Browse goes on: each page begins after the last one's last entry."""
    found: list[str] = []
    while True:
        looking = Looking(1000, threading.Event())
        after = found[-1] if found else ""
        try:
            more = list(islice(place.tree(prefix, after, looking), page))
        except NoSuchFile:
            return found  # not even the folder of the prefix is there
        if not more:
            return found
        found += [each.name for each in more]


# Races


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.csv").write_bytes(SECRET)
    return Folder("data", str(root), (), None, writable=True)  # type: ignore[arg-type]


def test_file_swapped_for_a_link_between_listing_and_opening_is_not_read(
    place: Folder, tmp_path: Path
) -> None:
    victim = tmp_path / "root" / "a.csv"
    victim.write_bytes(b"a\n1\n")
    (listed,) = place.tree("", "", Looking(10, threading.Event()))
    victim.unlink()
    victim.symlink_to(tmp_path / "secret.csv")
    with pytest.raises(Forbidden):
        place.open(listed)
    victim.unlink()
    os.link(tmp_path / "secret.csv", victim)
    with pytest.raises(Changed):
        place.open(listed)


def test_folder_swapped_for_a_link_in_the_middle_of_a_walk_is_not_entered(
    place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a folder when its name is read, and a link when it is opened."""
    victim = tmp_path / "root" / "sub"
    victim.mkdir()
    (victim / "a.csv").write_bytes(b"mine")
    names = Folder._names

    def swapping(self: Folder, at: int, path: str) -> list[str]:
        found = names(self, at, path)
        if not path and not victim.is_symlink():
            victim.rename(tmp_path / "gone")
            victim.symlink_to(tmp_path)
        return found

    monkeypatch.setattr(Folder, "_names", swapping)
    assert list(place.tree("", "", Looking(100, threading.Event()))) == []


def test_name_that_flickers_between_file_and_link_never_gives_the_target(
    place: Folder, tmp_path: Path
) -> None:
    """Thousands of openings while another thread swaps file, link and folder link."""
    victim, stop = tmp_path / "root" / "sub" / "a.csv", threading.Event()
    victim.parent.mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_bytes(SECRET)

    def swap() -> None:
        other = tmp_path / "root" / "other"
        while not stop.is_set():
            with suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
                other.write_bytes(b"mine")
                other.rename(victim)
                other.symlink_to(tmp_path / "secret.csv")
                other.rename(victim)
                victim.parent.rename(tmp_path / "root" / "aside")
                victim.parent.symlink_to(tmp_path / "real")
                victim.parent.unlink()
                (tmp_path / "root" / "aside").rename(victim.parent)

    thread = threading.Thread(target=swap)
    thread.start()
    read = set()
    try:
        for _ in range(3000):
            with suppress(FileFault):
                member = place.file("sub/a.csv")
                descriptor = place.open(member)
                read.add(os.read(descriptor, 100))
                os.close(descriptor)
    finally:
        stop.set()
        thread.join()
    assert read <= {b"mine"}


def test_link_that_comes_while_a_file_is_written_is_not_written_through(
    place: Folder, tmp_path: Path
) -> None:
    target = tmp_path / "root" / "out.csv"
    for overwrite in (False, True):
        writing = Writing(place, "out.csv", overwrite=overwrite)
        writing.begin()
        writing.write(b"mine")
        target.symlink_to(tmp_path / "secret.csv")
        with pytest.raises(FileFault):
            writing.commit()
        writing.close()
        target.unlink()
    assert (tmp_path / "secret.csv").read_bytes() == SECRET
    assert os.listdir(tmp_path / "root") == []


# What cannot be read


def test_root_that_is_gone_is_unreachable_and_its_path_is_not_told(
    place: Folder, tmp_path: Path
) -> None:
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    for look in (lambda: place.file("a.csv"), lambda: place.require_folder("")):
        with pytest.raises(Unreachable) as raised:
            look()
        assert str(tmp_path) not in str(raised.value)
    (tmp_path / "root").write_bytes(b"a file now")
    with pytest.raises(Unreachable):
        place.require_folder("")


def test_folder_with_too_many_entries_is_told(
    place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MAX_ENTRIES", 5)
    for number in range(6):
        (tmp_path / "root" / f"{number}.csv").write_bytes(b"")
    with pytest.raises(FileFault, match="more than 5 entries"):
        list(place.level("", "", Looking(100, threading.Event())))
    # a file of it can still be named
    assert place.file("3.csv").size_bytes == 0


def test_file_that_is_gone_meanwhile_is_told(place: Folder, tmp_path: Path) -> None:
    (tmp_path / "root" / "a.csv").write_bytes(b"a")
    member = place.file("a.csv")
    (tmp_path / "root" / "a.csv").unlink()
    with pytest.raises(NoSuchFile):
        place.open(member)


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can be another account")
def test_what_the_account_may_not_read_is_shown_so_and_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, mode in (("open.csv", 0o644), ("closed.csv", 0o600)):
        (root / name).write_bytes(b"a")
        (root / name).chmod(mode)
    (root / "shut").mkdir(mode=0o700)
    for each in (root, *tmp_path.parents, tmp_path):
        with suppress(PermissionError):
            each.chmod(each.stat().st_mode | 0o055)
    # its interpreter may lie where only root may go: the check runs in a child of this process
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, "\n".join(_seen(root)).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        assert told.read().split("\n") == [
            "closed.csv False",
            "open.csv True",
            "Forbidden: closed.csv may not be read by the account of the connector: Permission denied",
            "Forbidden: shut may not be read by the account of the connector: Permission denied",
            "closed.csv",
            "open.csv",
        ]


def _seen(root: Path) -> list[str]:
    place = Folder("data", str(root), (), None)  # type: ignore[arg-type]
    told = []
    level = place.level("", "", Looking(100, threading.Event()))
    files = [each for each in level if isinstance(each, folders.File)]
    told += [f"{each.name} {each.readable}" for each in files]
    for look in (lambda: place.open(files[0]), lambda: place.require_folder("shut")):
        try:
            look()
        except FileFault as fault:
            told.append(f"{type(fault).__name__}: {fault.message}")
    told += [each.name for each in place.tree("", "", Looking(100, threading.Event()))]
    return told


async def test_stopped_look_ends(place: Folder) -> None:
    stopped = threading.Event()
    stopped.set()
    async with Limiter("files", 1) as threads:
        assert await threads.run(lambda: list(place.level("", "", Looking(9, stopped)))) == []


def test_time_beyond_the_calendar_hides_no_file(place: Folder, tmp_path: Path) -> None:
    for name, seconds in (("a.csv", 2**40), ("b.csv", -(2**40)), ("c.csv", 0)):
        (tmp_path / "root" / name).write_bytes(b"a")
        with suppress(OSError):  # what the file system takes
            os.utime(tmp_path / "root" / name, (seconds, seconds))
    listed = place.level("", "", Looking(9, threading.Event()))
    assert [each.name for each in listed] == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
async def test_disk_that_fails_is_told(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    shelf.put("a.csv", b"a\n1\n")
    monkeypatch.setattr(os, "pread", failing)
    for call in (shelf.fetch("a.csv"), shelf.table("a.csv"), shelf.query("FROM 'a.csv'")):
        fault = await fault_of(call)
        assert fault.reason == "SOURCE_UNREACHABLE" and "a.csv" in fault.message
