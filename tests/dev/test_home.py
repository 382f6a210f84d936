import hashlib
import json
import stat
from pathlib import Path

import pytest

from dev.home import AlreadyRunning, Home, write_private
from dev.identities import issue


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_held_twice_says_where_the_other_is(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.held():
        home.write_ready({"http": "http://127.0.0.1:1"})
        with pytest.raises(AlreadyRunning, match=r"127\.0\.0\.1:1"), Home(home.path).held():
            pass
        assert home.ready.exists()
    with home.held():
        pass


def test_home_left_has_no_run_folder_and_no_ready_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(ZeroDivisionError), home.held():
        home.write_ready({})
        (home.run / "socket").touch()
        _ = 1 / 0
    assert not home.run.exists() and not home.ready.exists()
    assert home.logs.exists()


def test_home_of_a_killed_platform_is_tidied(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_ready({"http": "gone"})
    write_private(home.run / "tokens" / "gateway", "old")
    with home.held():
        assert [each.name for each in home.run.iterdir()] == ["scratch"]
        assert not home.ready.exists()


def test_home_keeps_its_first_key_to_itself(tmp_path: Path) -> None:
    home = Home(tmp_path)
    key = home.first_key()
    assert key.startswith("isb-") and len(key) > 40
    assert Home(tmp_path).first_key() == key
    assert mode(home.api_key) == 0o600


def test_ready_file_is_private(tmp_path: Path) -> None:
    Home(tmp_path).write_ready({"api_key": "x"})
    assert mode(tmp_path / "ready.json") == 0o600


@pytest.mark.req("S3")
def test_issued_tokens_are_private_and_callers_hold_their_digests(tmp_path: Path) -> None:
    issued = issue(("gateway", "sandbox"), tmp_path)
    callers = json.loads(issued.callers.read_text())
    for name, path in issued.tokens.items():
        assert mode(path) == 0o600
        assert callers[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert callers["gateway"] != callers["sandbox"]


def test_scratch_of_a_closed_or_long_home_lies_elsewhere_and_goes_too(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 10))
    with home.held():
        scratch = home.scratch
        assert scratch.is_dir() and not scratch.is_relative_to(tmp_path)
        assert mode(scratch) == 0o711
        (scratch / "file").touch()
    assert not scratch.exists()


def test_scratch_of_a_killed_platform_is_found_and_removed(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    home = Home(tmp_path / "home")
    home.run.mkdir(parents=True)
    (home.run / "scratch").symlink_to(left)
    with home.held():
        assert not left.exists()
