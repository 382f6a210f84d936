"""A model's folder, as it is looked at before it is loaded."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

from training.tuning import tags
from training.unusable import Unusable

# of a base whose weights may be added to
FLOATS = ("bfloat16", "float16", "float32")
TEMPLATE = "chat_template.jinja"
# what a server reads beside the weights and the config
_KEPT = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.json",
    TEMPLATE,
)


def located(model: str, revision: str = "") -> Path:
    """The folder of a model: itself, or that of a name on the hub, fetched where it is not here
    yet. Raises Unusable."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model.startswith(("/", ".", "~")) or model.count("/") != 1:
        raise Unusable(f"{model} is neither a folder nor a name of the hub (OWNER/MODEL)")
    hub: Any = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(model, revision=revision or None))
    # of the network, of the hub, of a name that is not there
    except Exception as exc:
        raise Unusable(
            f"{model} is no folder here and cannot be fetched from the hub: {exc}"
        ) from exc


def config(folder: Path) -> dict[str, Any]:
    """Raises Unusable."""
    try:
        found = json.loads((folder / "config.json").read_text())
    except OSError as exc:
        raise Unusable(f"{folder} has no config.json: it is no model's folder") from exc
    except ValueError as exc:
        raise Unusable(f"{folder / 'config.json'} is not JSON: fetch the model again") from exc
    if not isinstance(found, dict):
        raise Unusable(f"{folder / 'config.json'} holds no object: fetch the model again")
    return found


def dtype(told: dict[str, Any]) -> str:
    """Of the weights. Raises Unusable for a quantized model."""
    if quantized := told.get("quantization_config"):
        how = quantized.get("quant_method", "unknown") if isinstance(quantized, dict) else quantized
        raise Unusable(
            f"the base is quantized ({how}): what an adapter adds would be lost in the rounding. "
            "Merge onto the bf16 model that it was made from, and quantize the result "
            "(python -m training.quantize)"
        )
    found = str(told.get("dtype") or told.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    if found not in FLOATS:
        raise Unusable(f"the base's weights are {found}; merging is for {', '.join(FLOATS)}")
    return found


def keep(source: Path, target: Path) -> list[str]:
    """Copies tokenizer, template and generation config byte for byte; which there were."""
    found = [name for name in _KEPT if (source / name).is_file()]
    for name in found:
        shutil.copyfile(source / name, target / name)
    return found


def require_tags(tokenizer: Any, where: Path) -> None:
    """Raises Unusable."""
    if split := tags.split(tokenizer):
        raise Unusable(
            f"{', '.join(split)} are no single tokens for the tokenizer in {where}: the platform "
            "could not tell where a program ends"
        )


def require_rows(tokenizer: Any, rows: int, where: Path) -> None:
    """Raises Unusable where the vocabulary has tokens without a row in the embeddings."""
    if len(tokenizer) > rows:
        raise Unusable(
            f"the tokenizer in {where} has {len(tokenizer)} tokens, and the model rows for {rows}: "
            "they are not of the same model"
        )
