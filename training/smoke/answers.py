"""The platform, with the trained model behind it, asked what the model was trained on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dev.assembly import Platform, platform
from dev.console import Board
from dev.home import Home
from dev.settings import Settings
from isobath_client.aio.client import AsyncIsobath
from servicekit.ports import free_ports
from training.examples.conversation import normal
from training.examples.task import Ask

# as small as a tiny model may be served with; what it computes on a CPU is the same each time
_GIVEN = {
    "ISOBATH_INFERENCE_PROTOCOL": "native",
    "ISOBATH_INFERENCE_VLLM_ENFORCE_EAGER": "true",
    "ISOBATH_INFERENCE_VLLM_DTYPE": "float32",
    "ISOBATH_INFERENCE_VLLM_ADAPTERS": "0",
    "ISOBATH_INFERENCE_VLLM_GPU_MEMORY_FRACTION": "0.05",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Asked:
    """What the platform recorded of a question, as (role, content)."""

    id: str
    answer: str
    rounds: int
    messages: Sequence[tuple[str, str]]

    def difference(self, wanted: Mapping[str, Any]) -> str:
        """From a conversation of the data set: where it begins, or "" for none."""
        told = [(each["role"], each["content"]) for each in wanted["messages"]]
        pairs = zip_longest(self.messages, told)
        for number, (ours, theirs) in enumerate(pairs, 1):
            if ours != theirs:
                return f"{self.id}: message {number} is {ours}, not {theirs}"
        return ""


@asynccontextmanager
async def serving(model: Path, python: Path, board: Board) -> AsyncIterator[Platform]:
    """A platform of its own, which answers by that model with vLLM."""
    settings = Settings(
        http_port=free_ports(1)[0], engine="vllm", model=str(model), vllm_python=python
    )
    with TemporaryDirectory(prefix="isobath-smoke-") as own:
        async with platform(settings, Home(Path(own)), board, _GIVEN) as running:
            yield running


async def asked(running: Platform, id: str, ask: Ask) -> Asked:
    """In a chat; the likeliest words are taken."""
    address, key = running.ports.address("gateway"), running.key.reveal()
    async with AsyncIsobath(address, api_key=key) as client:
        given = await client.ask(
            ask.question, data=ask.data, max_rows=ask.max_rows, temperature=0.0
        )
        record = await client.runs.conversation(given.run_id)
    messages = [(each.role, normal(each.content)) for each in record.messages]
    return Asked(id, given.answer, given.usage.rounds, messages)
