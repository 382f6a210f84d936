"""Whether vLLM will serve an adapter, from its files alone and without PyTorch.

    python -m training.adapter FOLDER [--largest-rank 64]

The rules are those of vLLM 0.32 (`lora/peft_helper.py`, `config/lora.py`): ranks up to the largest
served, no DoRA, no modules_to_save, no biases; and what it does not look at: that the weights fit
the config, are numbers, and are not an adapter that was never trained.
"""

import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# that vLLM takes as the largest
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_A, _B = ".lora_A.weight", ".lora_B.weight"
_HEADER_MOST_BYTES = 100 * 1024 * 1024
# bytes of a number, its bits of sign and exponent as a mask: all of the exponent set is no number
_NUMBERS = {"F32": ("I", 0x7F800000, 0x7FFFFFFF), "F16": ("H", 0x7C00, 0x7FFF)}
_NUMBERS["BF16"] = ("H", 0x7F80, 0x7FFF)


class Unreadable(Exception):
    """Files that are missing or no adapter's."""


@dataclass(frozen=True)
class Tensor:
    """Of a safetensors file; `begin` and `end` are bytes behind the header."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def faults(folder: Path, *, largest_rank: int = 64) -> list[str]:
    """What is wrong, each with what to do; none of a good one. Raises Unreadable."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        with (folder / WEIGHTS).open("rb") as stream:
            tensors, data = header(stream)
            found = [*of_config(config, largest_rank), *of_shapes(config, tensors)]
            return found or list(_of_numbers(tensors, stream, data))
    except (OSError, ValueError, struct.error) as exc:
        raise Unreadable(f"{folder} is no adapter that can be read: {exc}") from exc


def header(stream: BinaryIO) -> tuple[dict[str, Tensor], int]:
    """The tensors of a safetensors file and where their bytes begin. Raises ValueError."""
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > _HEADER_MOST_BYTES:
        raise ValueError(f"a header of {length} bytes is none")
    told = json.loads(stream.read(length))
    told.pop("__metadata__", None)
    found = {
        name: Tensor(each["dtype"], tuple(each["shape"]), *each["data_offsets"])
        for name, each in told.items()
    }
    return found, 8 + length


def of_config(config: Mapping[str, Any], largest_rank: int) -> Iterator[str]:
    """What adapter_config.json says that vLLM refuses."""
    rank = config.get("r")
    if config.get("peft_type") != "LORA":
        yield f"it is of the type {config.get('peft_type')}: train it as LoRA"
    if type(rank) is not int or rank < 1:
        yield "its rank, the field r, is no number above 0"
    elif rank > largest_rank:
        enough = next((each for each in RANKS if each >= rank), None)
        way = (
            f"start the inference service with VLLM_ADAPTER_RANK={enough}"
            if enough
            else f"train it with a rank of at most {RANKS[-1]}"
        )
        yield f"its rank {rank} is above {largest_rank}, the largest served: {way}"
    if config.get("use_dora"):
        yield "it is made with DoRA: train it without, or merge it"
    if config.get("modules_to_save"):
        yield "it brings whole modules (modules_to_save): merge it into the model"
    if config.get("bias", "none") != "none":
        yield "it trains biases: train it with bias none, or merge it"
    if not config.get("base_model_name_or_path"):
        yield "it does not say which model it was made for (base_model_name_or_path)"


def of_shapes(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Where the weights are not what the config says."""
    halves = {name for name in tensors if name.endswith((_A, _B))}
    if extra := sorted(set(tensors) - halves):
        yield f"{extra[0]} is none of a LoRA layer, and vLLM would refuse it"
    modules = sorted({name.removesuffix(_A).removesuffix(_B) for name in halves})
    if not modules:
        yield "it holds no LoRA weights"
    for module in modules:
        a, b = tensors.get(module + _A), tensors.get(module + _B)
        if a is None or b is None:
            yield f"{module} has only one of its two halves"
        elif a.shape[:1] != (config.get("r"),) or b.shape[1:] != (config.get("r"),):
            yield f"{module} is of the shapes {a.shape} and {b.shape}, not of the rank r"
    wanted = config.get("target_modules")
    served = {module.rpartition(".")[2] for module in modules}
    if isinstance(wanted, list) and (missing := sorted(set(wanted) - served)):
        yield f"there are no weights for the target {', '.join(missing)}"


def _of_numbers(tensors: Mapping[str, Tensor], stream: BinaryIO, data: int) -> Iterator[str]:
    trained = False
    for name, tensor in tensors.items():
        if tensor.kind not in _NUMBERS:
            yield f"{name} holds {tensor.kind}: vLLM takes F32, F16 and BF16"
            return
        stream.seek(data + tensor.begin)
        content = stream.read(tensor.end - tensor.begin)
        code, exponent, magnitude = _NUMBERS[tensor.kind]
        count = math.prod(tensor.shape)
        numbers = struct.unpack(f"<{count}{code}", content)
        if any(number & exponent == exponent for number in numbers):
            yield f"{name} holds NaN or infinity: train again with a smaller learning rate"
        trained |= name.endswith(_B) and any(number & magnitude for number in numbers)
    if not trained:
        yield "all B are zero: it was never trained, and changes nothing"


def main(
    folder: Annotated[Path, typer.Argument(help="Of the adapter.")],
    largest_rank: Annotated[
        int, typer.Option(help="ISOBATH_INFERENCE_VLLM_ADAPTER_RANK of the service.")
    ] = 64,
) -> None:
    """Tell whether vLLM will serve an adapter; ends with 1 if not."""
    try:
        found = faults(folder, largest_rank=largest_rank)
    except Unreadable as exc:
        print(exc, file=sys.stderr)
        raise typer.Exit(2) from exc
    print("\n".join(found) or f"{folder} can be served")
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    typer.run(main)
