"""Programs in each tier: what they print, show, leave behind, and how they end."""

import asyncio
import hashlib

import pyarrow as pa
import pytest

from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling, faults, streaming
from servicekit.status import RemoteFault
from tests.sandbox.boxes import Box, Place

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.req("X6")
async def test_state_is_kept_between_programs(box: Box) -> None:
    await box.run("import math\nx = 41")
    ran = await box.run("print(x + 1, math.floor(2.5))")
    assert (ran.out, ran.finished.outcome) == ("42 2\n", pb.OUTCOME_OK)


async def test_output_keeps_its_order(box: Box) -> None:
    ran = await box.run(
        "import os, sys, subprocess\n"
        "for n in range(3):\n"
        "    print('a', n)\n"
        "    print('b', n, file=sys.stderr)\n"
        "    subprocess.run(['/bin/echo', f'c {n}'])\n"
        "os.write(1, b'd\\n')\n"
        "print('e')"
    )
    told = "".join(text for _, text in ran.order)
    assert told == "".join(f"a {n}\nb {n}\nc {n}\n" for n in range(3)) + "d\ne\n"
    assert ran.err == "b 0\nb 1\nb 2\n"


async def test_value_of_the_last_expression_is_the_result(box: Box) -> None:
    ran = await box.run("import pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert ran.result.split() == ["a", "0", "1", "1", "2"]
    assert ran.out == ""
    assert b"<table" in ran.displays[0]["text/html"]


@pytest.mark.req("C6", "X1")
async def test_table_is_shown_as_arrow_too(box: Box) -> None:
    ran = await box.run(
        "import pandas as pd\n"
        "pd.DataFrame({'n': range(50_000), 'day': pd.Timestamp('2026-02-01')}, index=None)"
    )
    with pa.ipc.open_stream(ran.displays[0]["application/vnd.apache.arrow.stream"]) as reader:
        table = reader.read_all()
    assert table.schema.metadata[b"rows"] == b"50000"
    assert table.column("n").to_pylist() == list(range(10_000))
    assert pa.types.is_timestamp(table.schema.field("day").type)
    # wide enough to be cut, then what Arrow cannot hold
    ran = await box.run("pd.DataFrame({'text': ['x' * 1000] * 5000})")
    [shown] = ran.displays
    assert 0 < len(shown["application/vnd.apache.arrow.stream"]) < 2**20
    ran = await box.run("pd.DataFrame({'mixed': [1, 'a', object()]})")
    assert "text/html" in ran.displays[0] and len(ran.displays[0]) == 1
    assert ran.err == "" and ran.traceback == ""


@pytest.mark.req("C6")
async def test_figure_is_an_svg_where_the_program_wants_one(box: Box) -> None:
    ran = await box.run(
        "%config InlineBackend.figure_formats = ['svg']\n"
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()"
    )
    assert b"<svg" in ran.displays[0]["image/svg+xml"]
    await box.run("%config InlineBackend.figure_formats = ['png']")


@pytest.mark.req("C6")
async def test_figure_is_shown_as_png(box: Box) -> None:
    ran = await box.run("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()")
    assert ran.err == ""
    assert ran.displays[0]["image/png"].startswith(b"\x89PNG")


async def test_figure_without_show_is_shown_too(box: Box) -> None:
    ran = await box.run(
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1])\n0;"
    )
    assert [set(shown) for shown in ran.displays] == [{"image/png", "text/plain"}]


@pytest.mark.req("C6")
async def test_files_that_are_new_or_changed_are_artifacts(box: Box) -> None:
    await box.write("given.csv", b"a\n1\n")
    ran = await box.run(
        "import os, matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
        "os.makedirs('out')\nopen('out/report.md', 'w').write('# Report')\n"
        "plt.plot([1])\nplt.savefig('figure.png')\nopen('given.csv').read()"
    )
    assert set(ran.artifacts) == {"out/report.md", "figure.png"}
    report = ran.artifacts["out/report.md"]
    assert report.media_type == "text/markdown"
    assert report.sha256 == hashlib.sha256(b"# Report").hexdigest()
    changed = await box.run("open('given.csv', 'a').write('2\\n')")
    assert set(changed.artifacts) == {"given.csv"}
    assert await box.read("given.csv") == b"a\n1\n2\n"


async def test_traceback_shows_the_programs_frames_only(box: Box) -> None:
    ran = await box.run("def f(x):\n    return 1 / x\n\nf(0)")
    assert ran.finished.outcome == pb.OUTCOME_ERROR
    assert (ran.finished.error_name, ran.finished.error_text) == (
        "ZeroDivisionError",
        "division by zero",
    )
    assert ran.traceback == (
        "Traceback (most recent call last):\n"
        '  File "<program>", line 4, in <module>\n    f(0)\n'
        '  File "<program>", line 2, in f\n    return 1 / x\n'
        "           ~~^~~\n"
        "ZeroDivisionError: division by zero\n"
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("x = (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("import sys; sys.exit('gone')", "SystemExit"),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E", "E"),
        ("input()", "EOFError"),
        ("exec('raise KeyError(1)')", "KeyError"),
    ],
)
async def test_exception_is_an_answer(box: Box, code: str, name: str) -> None:
    ran = await box.run(code)
    assert ran.finished.outcome == pb.OUTCOME_ERROR
    assert ran.finished.error_name in (name, "StdinNotImplementedError")


async def test_odd_text_arrives(box: Box) -> None:
    ran = await box.run("print('é 日本 \\ud800 \\x00', end='')")
    assert ran.out == "é 日本 ? \x00"


async def test_top_level_await(box: Box) -> None:
    ran = await box.run("import asyncio\nawait asyncio.sleep(0)\nprint('done')")
    assert ran.out == "done\n"


async def test_forked_child_prints_beside_the_frames(box: Box) -> None:
    ran = await box.run(
        "import os\npid = os.fork()\n"
        "if pid == 0:\n    print('child ' * 1000)\n    os._exit(0)\n"
        "os.waitpid(pid, 0)\nprint('parent')"
    )
    assert ran.out.endswith("parent\n")
    assert ran.out.count("child") == 1000


@pytest.mark.req("X3")
async def test_output_over_the_limit_keeps_head_and_tail(box: Box) -> None:
    ran = await box.run("print('first'); print('x' * 2_000_000); print('last')")
    assert ran.out.startswith("first\nx")
    assert ran.out.endswith("x\nlast\n")
    assert len(ran.out) < 300_000
    assert ran.finished.output_bytes_cut > 1_700_000
    assert "bytes of output cut" in ran.err


@pytest.mark.req("X3")
async def test_program_over_its_time_is_interrupted_and_state_kept(box: Box) -> None:
    await box.run("x = 1")
    ran = await box.run("import time\ntime.sleep(60)", timeout_s=0.3)
    assert ran.finished.outcome == pb.OUTCOME_TIMEOUT
    assert "KeyboardInterrupt" in ran.traceback
    assert (await box.run("print(x)")).out == "1\n"


@pytest.mark.req("X3")
async def test_program_that_ignores_interrupts_is_killed(box: Box) -> None:
    ran = await box.run(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        timeout_s=0.3,
    )
    assert ran.finished.outcome == pb.OUTCOME_TIMEOUT
    assert "variables are lost" in ran.err
    after = await box.run("print('alive')")
    assert after.out == "alive\n"
    assert "a fresh kernel" in after.err


@pytest.mark.req("C7")
async def test_interrupt_stops_the_program(box: Box) -> None:
    async with streaming(box.call("print('on', flush=True)\nimport time\ntime.sleep(60)")) as call:
        events = faults(call)
        assert (await anext(events)).output.text.startswith("on")
        request = pb.InterruptRequest(session_id=box.id)
        assert (await calling(box.stub.Interrupt(request))).was_running
        finished = [event async for event in events][-1].finished
    assert finished.outcome == pb.OUTCOME_INTERRUPTED
    assert not (await calling(box.stub.Interrupt(request))).was_running


@pytest.mark.req("C7")
async def test_cancelled_call_interrupts_the_program(box: Box) -> None:
    await box.run("x = 1")
    async with streaming(box.call("print('on', flush=True)\nimport time\ntime.sleep(60)")) as call:
        await anext(faults(call))
    ran = await box.run("print(x)")
    assert ran.out == "1\n"


async def test_second_program_at_a_time_is_refused(box: Box) -> None:
    async with streaming(box.call("print('on', flush=True)\nimport time\ntime.sleep(60)")) as call:
        await anext(faults(call))
        with pytest.raises(RemoteFault) as told:
            await box.run("1")
    assert told.value.reason == "CONFLICT"


@pytest.mark.parametrize(
    ("code", "signal"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 9),
        ("import ctypes; ctypes.string_at(0)", 11),
        ("import os; os.abort()", 6),
    ],
)
async def test_death_of_the_kernel_is_told_and_recovered_from(
    box: Box, code: str, signal: int
) -> None:
    await box.run("open('kept.txt', 'w').write('kept'); x = 1")
    ran = await box.run(f"print('before', flush=True)\n{code}")
    assert ran.out == "before\n"
    assert (ran.finished.outcome, ran.finished.signal) == (pb.OUTCOME_DIED, signal)
    assert ran.finished.cause == "crash"
    after = await box.run("print(open('kept.txt').read(), 'x' in globals())")
    assert after.out == "kept False\n"
    assert "variables of earlier programs are lost" in after.err


async def test_exit_code_of_a_kernel_that_left(box: Box) -> None:
    ran = await box.run("import os; os._exit(7)")
    assert (ran.finished.outcome, ran.finished.exit_code) == (pb.OUTCOME_DIED, 7)


async def test_kernel_that_dies_between_programs_is_replaced(box: Box) -> None:
    await box.run("import threading, os\nthreading.Timer(0.1, lambda: os._exit(1)).start()")
    for _ in range(50):
        ran = await box.run("print('x' in globals())")
        if ran.finished.outcome == pb.OUTCOME_OK and ran.err:
            break
        await asyncio.sleep(0.05)
    assert "a fresh kernel" in ran.err


@pytest.mark.parametrize(
    "forged",
    [
        "b'\\xff' * 64",
        "b'\\x00\\x00\\x00\\x05\\xff\\x00\\x00\\x00\\x00'",
        # a STREAM whose header is no object, a DISPLAY that lies about its parts
        "b'\\x00\\x00\\x00\\x07\\x12\\x00\\x00\\x00\\x02[]'",
    ],
)
async def test_forged_frames_end_the_kernel_and_nothing_else(box: Box, forged: str) -> None:
    ran = await box.run(
        "import os, stat, time\n"
        "for fd in range(3, 64):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, " + forged + ")\n"
        "    except OSError: pass\n"
        "time.sleep(30)"
    )
    assert (ran.finished.outcome, ran.finished.cause) == (pb.OUTCOME_DIED, "protocol")
    assert (await box.run("print(1)")).out == "1\n"


@pytest.mark.req("X3")
async def test_memory_over_the_limit_is_a_memory_error(sandbox: Place) -> None:
    async with sandbox.box(memory_bytes=600 * 2**20) as box:
        ran = await box.run("x = bytearray(2**30)")
        assert (ran.finished.outcome, ran.finished.error_name) == (pb.OUTCOME_ERROR, "MemoryError")
        assert (await box.run("print(1)")).out == "1\n"


@pytest.mark.req("X3")
async def test_shared_memory_over_the_limit_ends_the_kernel(sandbox: Place) -> None:
    async with sandbox.box(memory_bytes=400 * 2**20) as box:
        ran = await box.run(
            "import mmap, time\nm = mmap.mmap(-1, 2**29)\n"
            "for at in range(0, 2**29, 4096): m[at] = 1\ntime.sleep(30)"
        )
        assert (ran.finished.outcome, ran.finished.cause) == (pb.OUTCOME_DIED, "oom")


@pytest.mark.req("X3")
async def test_fork_bomb_is_bounded(sandbox: Place) -> None:
    async with sandbox.box(processes=40) as box:
        ran = await box.run(
            "import os, time\nmade = 0\ntry:\n    while made < 5000:\n"
            "        if os.fork() == 0: time.sleep(60)\n        made += 1\n"
            "except BlockingIOError: print('bounded', made < 60)"
        )
        assert ran.out == "bounded True\n" or ran.finished.cause == "processes"


@pytest.mark.req("X3")
async def test_workspace_over_its_limit_ends_the_program(sandbox: Place) -> None:
    async with sandbox.box(workspace_bytes=20 * 2**20) as box:
        one = await box.run("open('a', 'wb').write(bytes(30 * 2**20))")
        assert one.finished.error_name == "OSError"
        many = await box.run(
            "import time\nfor n in range(10):\n    open(f'b{n}', 'wb').write(bytes(4 * 2**20))\n"
            "time.sleep(30)"
        )
        assert (many.finished.outcome, many.finished.cause) == (pb.OUTCOME_DIED, "disk")
        tidy = await box.run("import os\nfor f in os.listdir('.'): os.unlink(f)\nprint('tidy')")
        assert tidy.out == "tidy\n"


async def test_usage_is_told(box: Box) -> None:
    ran = await box.run("sum(range(2_000_000))")
    assert ran.finished.usage.cpu.ToTimedelta().total_seconds() > 0
    assert ran.finished.usage.peak_memory_bytes > 10 * 2**20


async def test_libraries_of_analysis_work(box: Box) -> None:
    ran = await box.run(
        "import duckdb, pandas as pd, pyarrow as pa, pyarrow.parquet as pq, numpy as np\n"
        "frame = pd.DataFrame({'k': ['a', 'b'] * 500, 'v': np.arange(1000.0)})\n"
        "frame.to_parquet('t.parquet'); frame.to_csv('t.csv', index=False)\n"
        "print(pd.read_parquet('t.parquet').v.sum(), len(pd.read_csv('t.csv')))\n"
        "print(duckdb.sql(\"select k, sum(v) s from 't.parquet' group by k order by k\").fetchall())\n"
        "print(pq.read_table('t.parquet').num_rows, np.linalg.norm(np.eye(3)) > 1)"
    )
    assert ran.traceback == ""
    assert ran.out == "499500.0 1000\n[('a', 249500.0), ('b', 250000.0)]\n1000 True\n"
