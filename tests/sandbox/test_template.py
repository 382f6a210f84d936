"""Kernels that are forked from one process: what they share, what they must not, and without it."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from services.sandbox.isolation.port import Account, Interpreter
from services.sandbox.template import forbidden
from tests.sandbox.boxes import TIERS, Place, kernels_below, place

pytestmark = pytest.mark.asyncio(loop_scope="module")


def forks(home: Path) -> dict[int, int]:
    """The template, its keepers and kernels, which keep its command: each with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if b"isobath_kernel.template" in command and str(home).encode() in command:
                found[int(entry.name)] = int(parent)
    return found


def templates(home: Path) -> list[int]:
    """Those of this service itself: keepers and kernels have other parents."""
    return [pid for pid, parent in forks(home).items() if parent == os.getpid()]


@pytest.mark.req("X2", "X6")
async def test_forks_share_no_random_numbers_and_no_names(sandbox: Place) -> None:
    code = (
        "import random, tempfile, uuid, numpy as np\n"
        "print(random.random(), np.random.rand(), uuid.uuid4(), tempfile.mkdtemp())\n"
        "import os; print(os.getppid() > 0, os.environ['HOME'] == tempfile.gettempdir())"
    )
    assert templates(sandbox.home), "kernels are not forked here"
    async with sandbox.box() as one, sandbox.box() as other:
        first, second = (await one.run(code)).out, (await other.run(code)).out
    drawn = [set(out.splitlines()[0].split()) for out in (first, second)]
    assert len(drawn[0]) == 4
    assert not drawn[0] & drawn[1]
    assert first.endswith("True True\n")


@pytest.mark.req("X2", "X3")
async def test_fork_has_the_limits_and_descriptors_of_a_fresh_kernel(sandbox: Place) -> None:
    """Nothing of the template is open in it; no capability, no new privileges, the filter on."""
    async with sandbox.box() as box:
        ran = await box.run(
            "import os, re, stat\n"
            "status = dict(re.findall(r'(\\w+):\\s+(.*)', open('/proc/self/status').read()))\n"
            "print(status['CapPrm'], status['CapEff'], status['NoNewPrivs'], status['Seccomp'])\n"
            "socks = 0\n"
            "for fd in range(3, 256):\n"
            "    try: socks += stat.S_ISSOCK(os.fstat(fd).st_mode)\n"
            "    except OSError: pass\n"
            "print(socks, os.environ.get('MPLCONFIGDIR', '').endswith('/.matplotlib'))"
        )
    assert ran.traceback == ""
    # control and broker are all the sockets there are
    assert ran.out == f"{'0' * 16} {'0' * 16} 1 2\n2 True\n"


async def test_template_that_died_is_started_again(sandbox: Place) -> None:
    [pid] = templates(sandbox.home)
    before = {*forks(sandbox.home)}
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        # its kernels go with it, a moment later; namespaces that none had joined yet may stay
        while before & {*forks(sandbox.home)}:
            await asyncio.sleep(0.02)
        for _ in range(3):
            async with sandbox.box() as box:
                assert (await box.run("print(1)")).out == "1\n"
    assert pid not in templates(sandbox.home)


def _kernels(home: Path) -> set[int]:
    return {*kernels_below(home)} - {*templates(home)}


async def _kill_kept(home: Path) -> set[int]:
    """The kernel that waits for a session; not one that is about to start."""
    before = set[int]()
    async with asyncio.timeout(60):
        while not before or before != _kernels(home):
            before = _kernels(home)
            await asyncio.sleep(0.5)
    for pid in before:
        with suppress(ProcessLookupError):  # gone with another of its family
            os.kill(pid, signal.SIGKILL)
    return before


async def test_kept_kernel_that_just_died_is_not_given_out(sandbox: Place) -> None:
    for _ in range(3):
        await _kill_kept(sandbox.home)
        async with sandbox.box() as box:
            assert (await box.run("print(1)")).out == "1\n"


async def test_kept_kernel_that_died_is_replaced_before_it_is_needed(sandbox: Place) -> None:
    killed = await _kill_kept(sandbox.home)
    async with asyncio.timeout(60):
        while not _kernels(sandbox.home) - killed:
            await asyncio.sleep(0.02)


@pytest.mark.req("S8", "X5")
@pytest.mark.parametrize("tier", [*TIERS, "none"])
async def test_kernels_can_be_executed_instead(tier: str) -> None:
    async with place(tier, forked=False, warm=0) as sandbox, sandbox.box() as box:
        home = sandbox.home
        ran = await box.run("import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()")
        assert ran.displays[0]["image/png"].startswith(b"\x89PNG")
        assert templates(sandbox.home) == []
        left = "import os, subprocess\nsubprocess.Popen(['sleep', '300'])\n"
        ran = await box.run(f"{left}os._exit(7)")
        assert ran.finished.exit_code == 7
        assert (await box.run("print(1)")).out == "1\n"
    assert kernels_below(home) == []


async def test_interpreter_of_the_kernels_own_account_is_not_forked_in_namespaces(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python"
    python.touch()
    own = Account(python.stat().st_uid, python.stat().st_gid, switch=False)
    made = Interpreter(python, (), ())
    assert "belongs to the account" in forbidden("namespaces", made, own)
    assert forbidden("landlock", made, own) == ""
    assert forbidden("namespaces", made, Account(own.uid + 1, own.gid, switch=True)) == ""
