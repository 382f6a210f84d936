"""The profile that bubblewrap needs in a pod: enough for it, and no more."""

import asyncio
import json
import os
import platform
import sys

import pytest

from dev.manifests import K8S
from dev.seccomp_profile import REFUSED, profile
from services.sandbox.isolation import interpreter
from services.sandbox.isolation.port import Account
from tests.sandbox.boxes import TIERS

PROFILE = K8S / "components" / "sandbox-namespaces" / "isobath-bubblewrap.json"
ROOT = K8S.parent
_USER = 61_001
# what bubblewrap and the forks of its kernels do
NEEDED = {"clone", "unshare", "setns", "mount", "umount2", "pivot_root", "seccomp", "prctl"}
LANDLOCK = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}


@pytest.mark.req("X3", "K1")
def test_profile_allows_by_name_and_refuses_the_rest() -> None:
    told = json.loads(PROFILE.read_text())
    assert told["defaultAction"] == "SCMP_ACT_ERRNO"
    (rule,) = told["syscalls"]
    assert rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
    names = set(rule["names"])
    assert names >= NEEDED | LANDLOCK
    assert not names & {each for refused in REFUSED.values() for each in refused}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names are those of x86-64")
def test_profile_is_what_its_command_makes() -> None:
    """But for calls that another libseccomp knows."""
    kept, made = json.loads(PROFILE.read_text()), profile()
    for told in (kept, made):
        del told["syscalls"]
    assert kept == json.loads(json.dumps(made))


@pytest.mark.req("X2", "X3", "K1")
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes the account of a pod")
@pytest.mark.skipif("namespaces" not in TIERS, reason="this machine makes no namespaces")
async def test_sandbox_works_and_holds_beneath_the_profile() -> None:
    """An ordinary user without new privileges, as in the pod, and the whole table of escapes."""
    python = interpreter.choose(None, Account(_USER, _USER, switch=True))
    paths = [ROOT, ROOT / "gen", *python.packages, *(p for p in sys.path if "-packages" in p)]
    process = await asyncio.create_subprocess_exec(
        *(str(python.executable), "-m", "tests.k8s.under_profile", str(PROFILE), str(_USER)),
        *(str(python.executable), "-m", "tests.sandbox.as_user", "namespaces"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()[-4000:]
    assert json.loads(told) == {}
