"""`sources` in code: through the broker, under the run's grant, and never beyond it."""

import asyncio

import pytest

from isobath.connector.v1 import connector_pb2 as connector
from isobath.sandbox.v1 import sandbox_pb2 as pb
from servicekit.channels import calling, faults, streaming
from servicekit.status import RemoteFault
from tests.sandbox.boxes import Box, Place, item

pytestmark = pytest.mark.asyncio(loop_scope="module")
# to open a session in; the others where the machine was too slow for the one before
_OPENED_S = (5.0, 20.0, 60.0)


@pytest.mark.req("X1", "P10")
async def test_query_gives_a_frame_under_the_runs_grant(sandbox: Place, box: Box) -> None:
    await box.attach("read,list")
    ran = await box.run(
        "import datetime\n"
        "df = sources['shop'].query('ROWS 3', [1, 'a', None, 2.5, True, b'x', 2**70])\n"
        "print(type(df).__name__, df.n.tolist(), df.name.tolist())\n"
        "print(sources['shop'].query('ROWS 2', as_='arrow').num_rows, list(sources))"
    )
    assert ran.traceback == ""
    assert ran.out == "DataFrame [0, 1, 2] ['é0', 'é1', 'é2']\n2 ['shop']\n"
    bound = sandbox.seen.queries[-2].parameters
    assert [each.WhichOneof("value") for each in bound] == [
        *("integer", "text", None, "number", "boolean", "binary", "text")
    ]
    assert set(sandbox.seen.grants) == {"read,list"}


@pytest.mark.req("X1")
async def test_rows_as_a_file_a_preview_and_by_the_magic(box: Box) -> None:
    await box.attach("read,list")
    ran = await box.run(
        "import pyarrow.parquet as pq\n"
        "paths = [sources['shop'].query('ROWS 25000', as_='path') for _ in range(2)]\n"
        "print(paths, pq.read_table(paths[1]).num_rows)\n"
        "print(len(sources['shop'].preview('web/a.csv')))"
    )
    assert ran.traceback == ""
    assert ran.out == "['shop.parquet', 'shop-2.parquet'] 25000\n1\n"
    assert set(ran.artifacts) == {"shop.parquet", "shop-2.parquet"}
    shown = await box.run("%%sql shop\nROWS 3;")
    assert "é2" in shown.result
    assert (await box.run("%%sql shop rows\nROWS 4")).result == ""
    assert (await box.run("print(len(rows))")).out == "4\n"
    told = await box.run("%%sql\nROWS 4")
    assert (told.finished.error_name, "%%sql source" in told.finished.error_text) == (
        "ValueError",
        True,
    )
    wrong = await box.run("sources['shop'].query('ROWS 1', as_='list')")
    assert "'polars', 'path'" in wrong.finished.error_text


@pytest.mark.req("C5", "S4")
async def test_session_outlives_the_call_that_opened_it(sandbox: Place) -> None:
    """Its deadline was for the opening, not for what the session does later."""
    for within_s in _OPENED_S:
        try:
            await _outlives(sandbox, within_s)
            return
        except RemoteFault as fault:
            if fault.reason != "DEADLINE_EXCEEDED" or within_s == _OPENED_S[-1]:
                raise


async def _outlives(sandbox: Place, within_s: float) -> None:
    async with sandbox.box(within_s=within_s) as box:
        await box.attach("read,list")
        await asyncio.sleep(within_s)
        for _ in range(2):
            assert (await box.run("print(len(sources['shop'].query('ROWS 3')))")).out == "3\n"


@pytest.mark.req("X1", "B7")
async def test_cut_is_a_warning_each_time(box: Box) -> None:
    await box.attach("read")
    for _ in range(2):
        ran = await box.run("x = 1\nlen(sources['shop'].query('ROWS 9', max_rows=2))")
        assert ran.result == "2\n"
        assert ran.err == "<program>:2: SourceWarning: shop: cut at the row limit\n"
    ran = await box.run(
        "import warnings\nwarnings.simplefilter('error', sources.SourceWarning)\n"
        "sources['shop'].query('ROWS 9', max_rows=2)"
    )
    assert ran.finished.error_name == "SourceWarning"


@pytest.mark.req("X1")
async def test_many_rows_arrive_whole(box: Box) -> None:
    await box.attach("read")
    ran = await box.run("df = sources['shop'].query('ROWS 200000')\nprint(len(df), df.n.sum())")
    assert ran.out == f"200000 {sum(range(200_000))}\n"


@pytest.mark.req("X1")
async def test_read_list_tables_schema_download_upload(sandbox: Place, box: Box) -> None:
    await box.attach("read,list", writes="write")
    ran = await box.run(
        "s = sources['shop']\n"
        "print(s.read('web/a.csv').y.tolist())\n"
        "print(len(s.list('public.')), s.tables().path.tolist()[-1], s.schema('public.t').attrs['rows'])\n"
        "print(s.download('web/a.csv'), open('a.csv').read())\n"
        "print(s.upload('a.csv', s['write_prefix'] + 'a.csv')['path'], s['notes'])"
    )
    assert ran.traceback == ""
    assert ran.out == "[2]\n5 public.t4 3\na.csv x,y\n1,2\n\nout/a.csv ask it\n"
    assert sandbox.seen.stored["out/a.csv"] == b"x,y\n1,2\n"


@pytest.mark.req("X4", "B4")
async def test_nothing_is_written_where_the_run_may_only_read(sandbox: Place, box: Box) -> None:
    await box.attach("read,list,write")
    ran = await box.run(
        "s = sources['shop']\nprint('write_prefix' in s)\nopen('f', 'w').write('x' * 3_000_000)\n"
        "try: s.upload('f', 'out/f')\nexcept PermissionError as e: print(e)\n"
        "print(len(s.query('ROWS 2')))"
    )
    assert ran.traceback == ""
    assert ran.out.startswith(
        "False\nthis run may not write to shop Name the source in artifacts_to"
    )
    assert ran.out.endswith("\n2\n") and "out/f" not in sandbox.seen.stored


@pytest.mark.req("X4")
@pytest.mark.parametrize("call", ["query('ROWS 1')", "read('web/a.csv')", "upload('f', 'p')"])
async def test_beyond_the_grant_is_a_permission_error(box: Box, call: str) -> None:
    await box.attach("list", writes="list")
    ran = await box.run(f"open('f', 'w').write('x')\nsources['shop'].{call}")
    assert ran.finished.error_name == "PermissionError"
    assert "does not reach that far" in ran.finished.error_text


async def test_what_is_not_there_is_not_found(box: Box) -> None:
    await box.attach("read")
    ran = await box.run("sources['shop'].read('nowhere.csv')")
    assert ran.finished.error_name == "FileNotFoundError"
    ran = await box.run("sources['other']")
    assert "this run has 'shop'" in ran.finished.error_text


@pytest.mark.req("P5")
async def test_refused_query_tells_state_and_position(box: Box) -> None:
    await box.attach("read")
    ran = await box.run(
        "try: sources['shop'].query('WRONG')\n"
        "except sources.QueryError as e: print(e.sqlstate, e.position, e.hint, e)"
    )
    assert ran.out.startswith("42703 8 perhaps n column")


async def test_traceback_of_a_refusal_shows_the_programs_frames_only(box: Box) -> None:
    await box.attach("read")
    ran = await box.run("shop = sources['shop']\nshop.query('WRONG')")
    _, at, line, *rest = ran.traceback.splitlines()
    assert (at, line) == ('  File "<program>", line 2, in <module>', "    shop.query('WRONG')")
    assert not any("File" in each for each in rest)
    assert rest[-1].startswith("sources.QueryError: ")


@pytest.mark.req("C7")
async def test_interrupt_in_a_query_reaches_the_connector(sandbox: Place, box: Box) -> None:
    await box.attach("read")
    sandbox.seen.waiting.clear()
    sandbox.seen.cancelled.clear()
    async with streaming(box.call("sources['shop'].query('SLOW')")) as call:
        async with asyncio.timeout(20):
            await sandbox.seen.waiting.wait()
            await calling(box.stub.Interrupt(pb.InterruptRequest(session_id=box.id)))
            await sandbox.seen.cancelled.wait()
            finished = [event async for event in faults(call)][-1].finished
    assert finished.outcome == pb.OUTCOME_INTERRUPTED
    assert (await box.run("print(len(sources['shop'].query('ROWS 4')))")).out == "4\n"


@pytest.mark.req("X5")
async def test_detached_sources_are_gone(box: Box) -> None:
    await box.attach("read", run_id="one")
    await calling(box.stub.DetachSources(pb.DetachSourcesRequest(session_id=box.id, run_id="one")))
    ran = await box.run("print(list(sources))\nsources['shop']")
    assert ran.out == "[]\n"
    assert ran.finished.error_name == "KeyError"


async def test_source_without_connector_is_refused(box: Box) -> None:
    source = pb.Source(name="x", type="oracle", grant="g")
    with pytest.raises(RemoteFault) as told:
        await calling(
            box.stub.AttachSources(
                pb.AttachSourcesRequest(session_id=box.id, run_id="r", sources=[source])
            )
        )
    assert told.value.reason == "UNSUPPORTED"


@pytest.mark.req("X2")
async def test_grant_is_not_to_be_found_inside(box: Box) -> None:
    """Not in the objects, and nowhere in the process's memory. The needle is made of two halves, so
    that looking for it does not put it there."""
    await box.attach("read,list,planted-grant-7f3a")
    ran = await box.run(
        "s = sources['shop']\ns.query('ROWS 1')\n"
        "print(repr(sources), dict(s), vars(s))\n"
        "needle, found, looked = bytes([0x2d, 0x37, 0x66, 0x33, 0x61]), 0, 0\n"
        "with open('/proc/self/mem', 'rb', 0) as memory:\n"
        "    for line in open('/proc/self/maps'):\n"
        "        span, rights, *_ = line.split()\n"
        "        start, end = (int(x, 16) for x in span.split('-'))\n"
        "        if not rights.startswith('rw') or end - start > 2**28: continue\n"
        "        try: memory.seek(start); data = memory.read(end - start)\n"
        "        except (OSError, ValueError): continue\n"
        "        looked += len(data); found += data.count(b'grant' + needle); del data\n"
        "print('found', found, looked > 2**20)"
    )
    assert "7f3a" not in ran.out
    assert ran.out.endswith("found 0 True\n") or ran.finished.error_name == "PermissionError"


async def test_connections_are_bounded(box: Box) -> None:
    await box.attach("read")
    ran = await box.run(
        "import threading\nfailed = []\n"
        "def ask():\n"
        "    try: sources['shop'].query('ROWS 50000')\n"
        "    except Exception as e: failed.append(type(e).__name__)\n"
        "ts = [threading.Thread(target=ask) for _ in range(24)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "print(set(failed) <= {'SourceError'}, len(sources['shop'].query('ROWS 1')))"
    )
    assert ran.out == "True 1\n"


@pytest.mark.parametrize(
    "asked",
    [
        "{}",
        "{'do': 'fetch', 'source': 'shop'}",
        "{'do': 'fetch', 'source': 'shop', 'what': {'sql': 5}}",
        "{'do': 'fetch', 'source': 'shop', 'what': {'path': '\\ud800'}}",
        "{'do': 'fetch', 'source': ['shop'], 'what': {'path': 'a'}}",
        "{'do': 'fetch', 'source': 'shop', 'what': {'path': 'a'}, 'max_rows': -1}",
        "{'do': 'list', 'source': 'shop', 'prefix': {'a': 1}}",
        "{'do': 'secrets', 'source': 'shop'}",
    ],
)
async def test_odd_questions_are_refused_and_the_broker_lives(box: Box, asked: str) -> None:
    await box.attach("read,list")
    ran = await box.run(f"print(sources._link.ask({asked}))")
    assert ran.finished.outcome == pb.OUTCOME_ERROR
    assert (await box.run("print(len(sources['shop'].query('ROWS 2')))")).out == "2\n"


# -- imports


@pytest.mark.req("C1", "B3")
async def test_import_brings_files_and_tells_them(box: Box) -> None:
    events = await box.load(
        item(path="web/*"), item(sql="ROWS 1000", target="data/orders", form=connector.FORMAT_CSV)
    )
    files = {event.file.path: event.file for event in events if event.HasField("file")}
    # the third blob is called ../../evil.csv
    assert set(files) == {"web/a.csv", "web/b.csv", "__/__/evil.csv", "data/orders.csv"}
    assert files["data/orders.csv"].rows == 1000
    assert files["__/__/evil.csv"].source_path == "../../evil.csv"
    assert {event.item for event in events if event.HasField("done")} == {0, 1}
    assert await box.files() == {path: file.size_bytes for path, file in files.items()}
    ran = await box.run("import pandas as pd; print(len(pd.read_csv('data/orders.csv')))")
    assert ran.out == "1000\n"
    assert not ran.artifacts


async def test_files_of_one_name_are_numbered_and_replaced_the_next_time(box: Box) -> None:
    twice = [
        item(sql="ROWS 1", form=connector.FORMAT_CSV),
        item(sql="ROWS 2", form=connector.FORMAT_CSV),
    ]
    for _ in range(2):
        await box.load(*twice)
        assert set(await box.files()) == {"query.csv", "query-2.csv"}


@pytest.mark.req("B6", "C2")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("torn.bin", "SOURCE_UNREACHABLE"),
        ("false.bin", "CHECKSUM_MISMATCH"),
        ("nowhere", "PATH_NOT_FOUND"),
    ],
)
async def test_failed_import_leaves_nothing_half(
    sandbox: Place, box: Box, path: str, reason: str
) -> None:
    with pytest.raises(RemoteFault) as told:
        await box.load(item(path=path), item(path="slow.bin"))
    assert told.value.reason == reason
    if reason != "CHECKSUM_MISMATCH":
        assert (told.value.fields["source"], told.value.fields["item"]) == ("shop", "0")
    assert await box.files() == {}
    assert (await box.run("import os; print(os.listdir('.'))")).out == "[]\n"


@pytest.mark.req("C7")
async def test_cancelled_import_stops_the_connector_and_cleans(sandbox: Place, box: Box) -> None:
    sandbox.seen.cancelled.clear()
    sandbox.seen.waiting.clear()
    request = pb.ImportRequest(session_id=box.id, items=[item(path="slow.bin")])
    async with streaming(box.stub.Import(request)) as call, asyncio.timeout(20):
        first = asyncio.ensure_future(anext(faults(call)))
        await sandbox.seen.waiting.wait()
        call.cancel()
        await sandbox.seen.cancelled.wait()
        with pytest.raises((RemoteFault, asyncio.CancelledError)):
            await first
    for _ in range(100):
        if (await box.run("import os; print(os.listdir('.'))")).out == "[]\n":
            break
    else:
        pytest.fail("a partial file was left")


@pytest.mark.req("B7", "X3")
async def test_import_over_the_workspace_is_refused(sandbox: Place) -> None:
    async with sandbox.box(workspace_bytes=10_000) as box:
        with pytest.raises(RemoteFault) as told:
            await box.load(item(sql="ROWS 100000", form=connector.FORMAT_CSV))
        assert told.value.reason == "WORKSPACE_FULL"
        assert await box.files() == {}


@pytest.mark.req("X3")
async def test_import_does_not_follow_a_planted_link(sandbox: Place, box: Box) -> None:
    outside = sandbox.home / "planted"
    outside.mkdir()
    try:
        await box.run(f"import os; os.symlink({str(outside)!r}, 'web')")
        with pytest.raises(RemoteFault) as told:
            await box.load(item(path="web/a.csv"))
        assert told.value.reason == "UNSAFE_PATH"
        assert list(outside.iterdir()) == []
    finally:
        outside.rmdir()


@pytest.mark.parametrize("target", ["../x", "/x", "a//b", ".isobath-x"])
async def test_unsafe_target_is_refused(box: Box, target: str) -> None:
    with pytest.raises(RemoteFault) as told:
        await box.load(item(path="web/a.csv", target=target))
    assert told.value.reason == "UNSAFE_PATH"
