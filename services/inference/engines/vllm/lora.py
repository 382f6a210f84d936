"""Whether vLLM can serve an adapter, told before it is tried."""

import json
from pathlib import Path
from typing import Any

from services.inference.errors import AdapterNotFound, AdapterUnfit

CONFIG = "adapter_config.json"
TEMPLATE = "chat_template.jinja"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# that vLLM takes as the largest
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def check(path: Path, *, largest_rank: int) -> None:
    """Raises AdapterNotFound, AdapterUnfit."""
    if not (path / CONFIG).is_file():
        raise AdapterNotFound(str(path))
    if not any((path / name).is_file() for name in WEIGHTS):
        raise AdapterUnfit(f"there is no {WEIGHTS[0]} beside {CONFIG}", path=str(path))
    for why, remedy in _faults(_config(path), largest_rank):
        raise AdapterUnfit(why, path=str(path), remedy=remedy)


def template(path: Path) -> str | None:
    """The chat template that an adapter brings: the one that it was trained with."""
    try:
        return (path / TEMPLATE).read_text()
    except FileNotFoundError:
        return None


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / CONFIG).read_text())
    except ValueError as exc:
        raise AdapterUnfit(f"{CONFIG} is not JSON", exc, path=str(path)) from exc
    if not isinstance(config, dict):
        raise AdapterUnfit(f"{CONFIG} holds no object", path=str(path))
    return config


def _faults(config: dict[str, Any], largest_rank: int) -> list[tuple[str, str]]:
    """What vLLM would refuse or leave out, and what to do about it."""
    rank, found = config.get("r", 0), []
    if config.get("peft_type") != "LORA":
        found.append((f"it is of the type {config.get('peft_type')}", "Train it as LoRA."))
    if not isinstance(rank, int) or rank < 1:
        found.append(("its rank is not told", "Write the rank into the field r of its config."))
    elif rank > largest_rank:
        enough = next((each for each in RANKS if each >= rank), RANKS[-1])
        remedy = f"Start the inference service with VLLM_ADAPTER_RANK={enough}."
        found.append((f"its rank {rank} is above {largest_rank}, the largest served", remedy))
    if config.get("use_dora"):
        found.append(("it is made with DoRA", "Train it with use_dora=False, or merge it."))
    if config.get("modules_to_save"):
        remedy = "Train it without modules_to_save, or merge it into the model."
        found.append(("it brings whole modules (modules_to_save)", remedy))
    if config.get("bias", "none") != "none":
        found.append(("it trains biases", 'Train it with bias="none", or merge it.'))
    return found
