"""Canaries are made wherever the service may run."""

import subprocess
import sys

import pytest

# as a container runs it: no root, and closed to others of its account (servicekit.server)
_SERVICE = """
import ctypes, os, sys
from pathlib import Path
from services.sandbox.isolation.probes import _program
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0
try:
    open("/proc/self/environ").close()
except PermissionError:
    compile(_program(Path("/s"), Path("/h"), {"A": "b"}, os.getpid()), "canary", "exec")
    print("made")
"""


@pytest.mark.req("X2")
def test_a_service_that_is_not_root_need_not_read_its_own_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVICE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "made\n"), done.stderr
