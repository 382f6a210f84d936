"""A table of PostgreSQL as a DataFrame in a program of the sandbox, beside ADBC and `to_pandas`
outside of any sandbox, in turn in one run.

    python -m bench.sandbox_frames --rows 1000000 --rounds 5
"""

import argparse
import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measuring import Way, interleaved, told
from bench.pg_fetch import QUERY, TABLE, granted, peer, services
from bench.sandbox import opened, ran, service
from dev.postgres import postgres as start_postgres
from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit.channels import calling

_OUTSIDE = "ADBC, to_pandas, outside"
_FIRST = "import gc, pandas as pd, pyarrow as pa"
_CODE = (
    "frame = sources['sales'].query({sql!r}); assert len(frame) == {rows}; del frame; gc.collect();"
)


def program(stub: rpc.SandboxServiceStub, session: str, code: str) -> Way:
    async def run() -> int:
        await ran(stub, session, code)
        return 0

    return run


async def measured(rows: int, rounds: int) -> str:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="isobath-bench-")))
        await asyncio.to_thread(home.chmod, 0o711)
        server = await stack.enter_async_context(start_postgres(home / "postgres"))
        database = await stack.enter_async_context(server.database("bench"))
        await server.execute(TABLE.format(rows=rows), database=database)
        await server.execute("VACUUM ANALYZE measured", database=database)
        running = await stack.enter_async_context(services(home / "home"))
        grant = await granted(running.credentials, server, database)
        version, _, outside = await stack.enter_async_context(
            peer("adbc_frame", server.dsn_of(database), "")
        )
        ways: dict[str, Way] = {_OUTSIDE: outside}
        for count, (address, _) in running.connectors.items():
            sandbox = await stack.enter_async_context(service(forked=True, connectors=(address,)))
            stub = sandbox.stub
            session = await opened(stub, f"t{count}")
            source = pb.Source(name="sales", source_id="bench", type="postgresql", grant=grant)
            attach = pb.AttachSourcesRequest(session_id=session, run_id="r", sources=[source])
            await calling(stub.AttachSources(attach))
            await ran(stub, session, _FIRST)
            code = _CODE.format(sql=QUERY, rows=rows)
            name = f"query() in code, {count} connection{'s' * (count > 1)}"
            ways[name] = program(stub, session, code)
        seen = await interleaved(ways, rounds=rounds, pids={})
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = f"{rows} rows of ten columns, {rounds} rounds in turn; {version}; load {load}"
    return f"{head}\n{told(seen, base=_OUTSIDE, pids={})}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sandbox_frames")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(asyncio.run(measured(given.rows, given.rounds)))


if __name__ == "__main__":
    main()
