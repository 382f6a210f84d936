"""Write completed runs of a platform as training conversations, one JSON line each."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath_client import Isobath
from isobath_client.settings import resolve
from training.conversations import conversation


def export(
    output: Annotated[Path, typer.Option(help="The JSONL file to write.")],
    limit: Annotated[int, typer.Option(help="Runs at most, newest first.")] = 1000,
) -> None:
    """Fetch runs over gRPC and write those that ended with an answer."""
    where = resolve(os.environ)
    written = 0
    with Isobath(where.address, api_key=where.api_key) as client, output.open("w") as sink:
        for run in client.runs.list():
            if written == limit:
                break
            if run.state != analyst.RUN_STATE_COMPLETED:
                continue
            events = (event.wire for event in client.watch(run.run_id))
            messages = conversation(client.runs.question(run), events)
            if messages:
                sink.write(json.dumps({"run_id": run.run_id, "messages": messages}) + "\n")
                written += 1
    print(f"{written} conversations in {output}")


if __name__ == "__main__":
    typer.run(export)
