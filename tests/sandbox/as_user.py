"""`python -m tests.sandbox.as_user TIER`: the table of escapes against a service that is not root.

Prints a line of JSON: what each attempt that was not refused got. Its kernels run as the same
account as the service itself, which is what makes the difference."""

import asyncio
import json
import sys

from isobath.sandbox.v1 import sandbox_pb2 as pb
from tests.sandbox.boxes import place
from tests.sandbox.escapes import ESCAPES, PRELUDE
from tests.sandbox.yard import open_yard, program


async def got_through(tier: str) -> dict[str, str]:
    found = {}
    async with place(tier, warm=0) as sandbox, open_yard(sandbox) as yard:
        for escape in ESCAPES:
            ran = await yard.box.run(program(escape, yard.words), timeout_s=15)
            if ran.finished.outcome == pb.OUTCOME_DIED:
                await yard.box.run(PRELUDE)
            elif not ran.out.startswith("refused"):
                found[escape.name] = ran.out + ran.traceback
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(got_through(sys.argv[1]))))
