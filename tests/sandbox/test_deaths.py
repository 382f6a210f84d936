"""Every way a kernel ends: the cause is told, files stay, what was lost is said, and it goes on."""

import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from tests.sandbox.boxes import TIERS, place

DEATHS = {
    "timeout": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    "oom": (
        "import mmap, time\nm = mmap.mmap(-1, 2**29)\n"
        "for at in range(0, 2**29, 4096): m[at] = 1\ntime.sleep(30)"
    ),
    "cpu": (
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, "
        "(int(sum(resource.getrusage(0)[:2])) + 1, 3600))\nwhile True: pass"
    ),
    "disk": (
        "import time\nfor n in range(12): open(f'b{n}', 'wb').write(bytes(4 * 2**20))\n"
        "time.sleep(30)"
    ),
    "crash": "import ctypes; ctypes.string_at(0)",
    "protocol": (
        "import os, stat, time\nfor fd in range(3, 64):\n"
        "    try:\n        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, b'\\xff' * 64)\n"
        "    except OSError: pass\ntime.sleep(30)"
    ),
}


@pytest.mark.req("X3", "S8")
@pytest.mark.parametrize("tier", TIERS)
async def test_death_is_told_and_the_session_goes_on_with_its_files(tier: str) -> None:
    limits = {"memory_bytes": 400 * 2**20, "workspace_bytes": 40 * 2**20}
    async with place(tier, grace_s=0.2) as sandbox, sandbox.box(**limits) as box:
        for cause, code in DEATHS.items():
            await box.run("open('kept.txt', 'w').write('kept'); x = 1")
            ran = await box.run(code, timeout_s=0.5 if cause == "timeout" else 60)
            assert ran.finished.cause == cause, ran
            expected = pb.OUTCOME_TIMEOUT if cause == "timeout" else pb.OUTCOME_DIED
            assert ran.finished.outcome == expected
            assert "files are kept, variables are lost" in ran.err
            after = await box.run("print(open('kept.txt').read(), 'x' in globals())")
            assert after.out == "kept False\n", cause
            assert "variables of earlier programs are lost" in after.err
            await box.run("import os\nfor f in os.listdir('.'): os.unlink(f)")
