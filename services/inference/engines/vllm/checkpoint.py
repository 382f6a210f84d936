"""What a model's folder and its tokenizer say of it, before it is loaded and after."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.inference.models import CODE_END

# as the checkpoint of DeepAnalyze has them, each a token of its own: those that upstream's
# deepanalyze/add_vocab.py adds. <File>, which only the platform writes, is none of them
TAGS = tuple(
    f"<{slash}{tag}>"
    for tag in ("Analyze", "Understand", "Code", "Execute", "Answer")
    for slash in ("", "/")
)


@dataclass(frozen=True)
class Shape:
    """Of a decoder-only model: what its weights take, and what each token takes in the KV cache, at
    two bytes a number."""

    weights_bytes: int
    kv_bytes_per_token: int
    # that it was trained for; 0 = not told
    context_tokens: int


def shape(folder: Path) -> Shape | None:
    """From config.json and the sizes of the weights; None of what is no local folder, or of a
    model that does not tell these."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    heads = config.get("num_attention_heads", 0)
    width = config.get("head_dim") or config.get("hidden_size", 0) // max(1, heads)
    numbers = 2 * config.get("num_hidden_layers", 0) * config.get("num_key_value_heads", heads)
    weights = sum(path.stat().st_size for path in shards(folder))
    if not numbers * width or not weights:
        return None
    return Shape(weights, 2 * numbers * width, int(config.get("max_position_embeddings", 0)))


def shards(folder: Path) -> list[Path]:
    """The files that hold the weights."""
    return sorted(folder.glob("*.safetensors"))


@dataclass(frozen=True)
class Ends:
    """How an answer ends with this model's vocabulary. `code_id` is None where `</Code>` is no
    token of its own; the string has to do then."""

    code_id: int | None
    # text of the tokens that end a turn, which vLLM shows because we ask it to show stops
    turn: tuple[str, ...]


def ends(tokenizer: Any) -> Ends:
    """Resolved from the tokenizer, not from numbers of one checkpoint."""
    turn = (tokenizer.eos_token,) if tokenizer.eos_token else ()
    return Ends(_id(tokenizer, CODE_END), turn)


def split_tags(tokenizer: Any) -> list[str]:
    """The tags that are not one token: of a model that was trained on them, none."""
    return [tag for tag in TAGS if _id(tokenizer, tag) is None]


def _id(tokenizer: Any, text: str) -> int | None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return ids[0] if len(ids) == 1 else None
