"""`python -m services.inference`, as it is started in earnest."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import channel
from servicekit.health import wait_ready
from servicekit.ports import free_port
from servicekit.secrets import Secret

PROMPT = """# Instruction
How many orders are there by region?

# Data
File 1:
{"name": "orders.csv", "size": "4.8KB", "columns": [{"name": "region", "type": "text"},
 {"name": "amount", "type": "double"}], "rows": 120}
"""


async def launched(**environ: str) -> asyncio.subprocess.Process:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ISOBATH_")}
    path = os.pathsep.join(part for part in sys.path if part)
    named = {f"ISOBATH_INFERENCE_{name}": value for name, value in environ.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference", env={**clean, "PYTHONPATH": path, **named},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.req("C4", "S3", "S7")
async def test_process_with_rules_writes_code_to_its_caller_only(no_leaks, tmp_path: Path):
    callers = tmp_path / "callers.json"
    callers.write_text(json.dumps({"gateway": hashlib.sha256(b"g-token").hexdigest()}))
    address = f"127.0.0.1:{free_port()}"
    process = await launched(SERVER_BIND=address, SERVER_CALLERS_FILE=str(callers))
    await wait_ready(address, 30)
    async with channel(address, token=Secret("g-token")) as opened:
        stub = rpc.InferenceServiceStub(opened)
        (model,) = (await stub.ListModels(pb.ListModelsRequest())).models
        assert (model.id, model.engine) == ("isobath-rules", "rules")
        request = pb.GenerateRequest(
            messages=[pb.Message(role=pb.ROLE_USER, content=PROMPT)], stop_after_code=True
        )
        *deltas, last = [event async for event in stub.Generate(request, timeout=30)]
    text = "".join(event.delta.text for event in deltas)
    assert "<Code>" in text and text.endswith("</Code>") and "orders.csv" in text
    assert len(deltas) > 5 and last.completion.matched_stop == "</Code>"
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0 and b"Traceback" not in err
    assert b'"caller": "gateway"' in err and b"g-token" not in err


@pytest.mark.req("S6")
async def test_process_with_openai_and_no_address_says_what_it_needs(no_leaks):
    process = await launched(ENGINE="openai")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"OPENAI_BASE_URL" in err and b"Traceback" not in err
