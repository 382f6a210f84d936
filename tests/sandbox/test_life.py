"""Sessions and the service: opening, closing, expiring, refusing, and leaving nothing behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling, faults, streaming
from servicekit.settings import SettingsError
from servicekit.status import RemoteFault
from servicekit.testing import Leaks, running
from services.sandbox.app import mount
from services.sandbox.kernel.confine import landlock_abi
from services.sandbox.session import TRANSITIONS, Event, NoTransition, State, after
from services.sandbox.settings import Settings
from tests.sandbox.boxes import TIERS, Box, kernels_below, place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="isobath-sandbox-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_transitions_are_the_table(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(NoTransition):
            after(state, event)


def test_every_state_can_close_and_only_idle_executes() -> None:
    assert all(after(state, Event.CLOSE) is State.CLOSED for state in State)
    assert [s for s, e in TRANSITIONS if e is Event.EXECUTE] == [State.IDLE]


@pytest.mark.req("S8", "X5")
@pytest.mark.parametrize("tier", [*TIERS, "none"])
async def test_nothing_is_left_behind(tier: str, no_leaks: Leaks) -> None:
    async with place(tier) as sandbox:
        async with sandbox.box() as box:
            await box.run("import os, subprocess\nopen('a', 'w').write('x'); os.mkdir('d', 0)")
            await box.run("p = subprocess.Popen(['sleep', '300'])")
            await box.run("if os.fork() == 0:\n    os.fork()\n    import time; time.sleep(300)")
        # one that is not closed by anybody
        left = Box(sandbox.stub, "left")
        await left.open()
        await left.run("import subprocess; p = subprocess.Popen(['sleep', '300'])")
        home = sandbox.home
    assert kernels_below(home) == []
    assert not home.exists()


async def test_session_is_one_for_each_owner_and_thread() -> None:
    async with place(TIERS[0]) as sandbox:
        box = Box(sandbox.stub, "t")
        first = await box.open()
        assert (first.resumed, first.tier) == (False, TIERS[0])
        assert "watchdog" in first.enforcement["memory"]
        again = await box.open()
        assert (again.session_id, again.resumed) == (first.session_id, True)
        request = pb.OpenSessionRequest(thread_id="t", owner="bob")
        assert (await calling(sandbox.stub.OpenSession(request))).session_id != first.session_id


async def test_workspace_is_kept_over_sessions_and_removed_when_asked() -> None:
    async with place(TIERS[0]) as sandbox:
        box = Box(sandbox.stub, "t")
        await box.open()
        await box.run("x = 1; import os; os.makedirs('d'); open('d/f', 'w').write('kept')")
        assert await box.close(remove=False)
        assert not await box.close(remove=False)
        with pytest.raises(RemoteFault) as told:
            await box.run("1")
        assert told.value.reason == "NOT_FOUND"
        assert not (await box.open()).resumed
        ran = await box.run("print(open('d/f').read(), 'x' in globals()); open('d/f', 'a')")
        assert (ran.out, ran.err) == ("kept False\n", "")
        await box.close(remove=True)
        await box.open()
        assert await box.files() == {}


@pytest.mark.req("S8")
async def test_idle_session_expires() -> None:
    async with place(TIERS[0]) as sandbox:
        box = Box(sandbox.stub, "t")
        request = pb.OpenSessionRequest(thread_id="t", owner="ann")
        request.limits.idle.FromMilliseconds(1)
        box.id = (await calling(sandbox.stub.OpenSession(request))).session_id
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(0.5)
                if not any((sandbox.home / "workspaces").iterdir()):
                    break
        with pytest.raises(RemoteFault):
            await box.files()


async def test_slots_are_bounded() -> None:
    async with place(TIERS[0], sessions=1, warm=0, wait_s=0.2) as sandbox, sandbox.box() as box:
        async with streaming(
            box.call("print('on', flush=True)\nimport time\ntime.sleep(60)")
        ) as call:
            await anext(faults(call))
            with pytest.raises(RemoteFault) as told:
                await Box(sandbox.stub, "second").open()
        assert told.value.reason == "TOO_BUSY"
        assert told.value.retry_after_s


async def test_files_are_paged_and_written_whole() -> None:
    async with place(TIERS[0], warm=0) as sandbox, sandbox.box() as box:
        for name in ("b", "a/x.csv", "c"):
            await box.write(name, name.encode())
        request = pb.ListFilesRequest(session_id=box.id, page_size=2)
        page = await calling(sandbox.stub.ListFiles(request))
        assert [file.path for file in page.files] == ["a/x.csv", "b"]
        request.page_token = page.next_page_token
        last = await calling(sandbox.stub.ListFiles(request))
        assert ([file.path for file in last.files], last.next_page_token) == (["c"], "")
        assert await box.read("a/x.csv") == b"a/x.csv"
        for path in ("../x", "/etc/passwd", "a"):
            with pytest.raises(RemoteFault):
                await box.write(path, b"1")
        with pytest.raises(RemoteFault) as told:
            await box.read("nowhere")
        assert told.value.reason == "PATH_NOT_FOUND"


async def test_tier_that_is_not_there_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(SettingsError) as told:
        async with running((mount, Settings(tier="namespaces", home=home / "h"))):
            pass
    assert "bwrap is not installed" in str(told.value)
    assert "apt install bubblewrap" in str(told.value)


@pytest.mark.skipif(landlock_abi() < 6, reason="needs Landlock 6")
async def test_auto_falls_back_but_not_below_the_minimum(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))
    async with running((mount, Settings(home=home / "h", warm=0))):
        pass
    strict = Settings(home=home / "h", warm=0, minimum_tier="namespaces")
    with pytest.raises(SettingsError):
        async with running((mount, strict)):
            pass


@pytest.mark.parametrize("tier", TIERS)
async def test_isolation_that_does_not_hold_is_refused(
    home: Path, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary goes the way of all programs: a tier that isolates nothing cannot pass as one."""
    from services.sandbox import tiers
    from services.sandbox.isolation.landlock import Bare

    class Pretending(Bare):
        name = tier

    makers = {tier: lambda python, library, _: Pretending(python, library)}
    monkeypatch.setattr(tiers, "MAKERS", makers)
    with pytest.raises(SettingsError) as told:
        async with running((mount, Settings(tier=tier, home=home / "h"))):  # type: ignore[arg-type]
            pass
    assert "ipv4" in str(told.value)
    assert "outside file" in str(told.value)


async def test_home_that_kernels_cannot_reach_is_told(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("kernels run as this account itself")
    home.chmod(0o700)
    with pytest.raises(SettingsError, match="cannot pass"):
        async with running((mount, Settings(home=home / "h"))):
            pass


def test_interpreter_that_cannot_do_is_told(home: Path) -> None:
    from services.sandbox.errors import TierUnavailable
    from services.sandbox.isolation.interpreter import choose
    from services.sandbox.isolation.port import Account

    with pytest.raises(TierUnavailable) as told:
        choose(home / "nowhere", Account.own())
    assert "ISOBATH_SANDBOX_PYTHON" in told.value.remedy


@pytest.mark.req("S8")
@pytest.mark.parametrize("tier", TIERS)
def test_killed_service_leaves_nothing_after_its_next_start(home: Path, tier: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "ISOBATH_SANDBOX_HOME": str(home / "h"),
        "ISOBATH_SANDBOX_TIER": tier,
        "ISOBATH_SANDBOX_SERVER_BIND": "127.0.0.1:0",
    }
    first = started(environment, home)
    assert kernels_below(home)
    first.send_signal(signal.SIGKILL)
    first.wait()
    until = time.monotonic() + 10
    while kernels_below(home) and time.monotonic() < until:
        time.sleep(0.05)
    assert kernels_below(home) == []
    slots = set(os.listdir(home / "h" / "slots"))
    assert slots
    second = started(environment, home)
    try:
        assert not slots & set(os.listdir(home / "h" / "slots"))
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    assert kernels_below(home) == []
    assert not (home / "h" / "slots").exists()


def started(environment: dict[str, str], home: Path) -> "subprocess.Popen[bytes]":
    """A service of its own, once its warm kernel waits."""
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.sandbox"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if b"serving" in (home / "log").read_bytes() and list(
            (home / "h" / "slots").glob("*/leader.json")
        ):
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError((home / "log").read_text())


@pytest.mark.req("C5", "S8")
async def test_idle_session_is_put_away_for_another_with_its_files_kept() -> None:
    async with place(TIERS[0], sessions=2) as sandbox:
        first, second, third = (Box(sandbox.stub, name) for name in ("a", "b", "c"))
        await first.open()
        await first.run("x = 1\nopen('kept.txt', 'w').write('here')")
        await second.open()
        await second.run("x = 2")
        await third.open()
        with pytest.raises(RemoteFault) as gone:
            await first.run("print(x)")
        assert gone.value.reason == "NOT_FOUND"
        assert not (await first.open()).resumed
        assert (await first.run("print(open('kept.txt').read())")).text[
            pb.STREAM_STDOUT
        ] == "here\n"
        assert "NameError" in (await first.run("print(x)")).text[pb.STREAM_TRACEBACK]


@pytest.mark.req("C5")
async def test_session_that_was_just_opened_is_not_put_away_before_its_caller_uses_it() -> None:
    async with place(TIERS[0], sessions=1, wait_s=0.2) as sandbox:
        first, second = Box(sandbox.stub, "a"), Box(sandbox.stub, "b")
        await first.open()
        with pytest.raises(RemoteFault) as busy:
            await second.open()
        assert busy.value.reason == "TOO_BUSY"
        await first.run("x = 1")
        await second.open()


@pytest.mark.req("C5")
async def test_session_that_a_run_holds_keeps_its_slot() -> None:
    async with place(TIERS[0], sessions=1, wait_s=0.2) as sandbox:
        first, second = Box(sandbox.stub, "a"), Box(sandbox.stub, "b")
        await first.open()
        await first.attach("grant", run_id="run-1")
        with pytest.raises(RemoteFault) as busy:
            await second.open()
        assert busy.value.reason == "TOO_BUSY"
        assert busy.value.retry_after_s
        request = pb.DetachSourcesRequest(session_id=first.id, run_id="run-1")
        await calling(sandbox.stub.DetachSources(request))
        await second.open()
