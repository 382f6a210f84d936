"""`make up` stops cleanly: no process, socket or folder is left."""

from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import start, stop

pytestmark = pytest.mark.slow


@pytest.mark.req("S8")
def test_up_leaves_nothing_behind(tmp_path: Path) -> None:
    platform = start(tmp_path / "home")
    children = platform.descendants()
    assert len(children) >= 7
    address = platform.ready["http"]
    stop(platform)
    assert platform.process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not [path for path in platform.home.rglob("*") if path.is_socket()]
    assert not (platform.home / "ready.json").exists()
    taken = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"}
    assert int(address.rsplit(":", 1)[1]) not in taken
