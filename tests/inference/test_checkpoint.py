"""What is told of a model and of an adapter before they are loaded: tables of cases."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.inference.engines.vllm import checkpoint, lora, memory
from services.inference.engines.vllm.checkpoint import Shape
from services.inference.errors import AdapterNotFound, AdapterUnfit

# 8.2 billion numbers in bf16; 36 layers, 8 heads of keys and values, 128 wide
DEEPANALYZE = Shape(16_400_000_000, 147_456, 131_072)
GIB = memory.GIB


def test_shape_is_read_from_the_folder(tmp_path: Path):
    config = {
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "hidden_size": 4096, "max_position_embeddings": 131_072,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert checkpoint.shape(tmp_path) is None, "without weights there is nothing to tell"
    for part in (1, 2):
        (tmp_path / f"model-{part}.safetensors").write_bytes(b"0" * 50)
    assert checkpoint.shape(tmp_path) == Shape(100, 147_456, 131_072)


@pytest.mark.parametrize("config", ["", "{", "{}", '{"num_hidden_layers": 2}'])
def test_shape_of_what_tells_none_is_none(tmp_path: Path, config: str):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"0")
    assert checkpoint.shape(tmp_path) is None
    assert checkpoint.shape(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("card_gib", "shape", "context", "eight_bit_kv", "fits"),
    [
        (24, DEEPANALYZE, 16_384, False, True),
        (24, DEEPANALYZE, 131_072, False, False),
        (24, Shape(8_400_000_000, 147_456, 131_072), 98_304, True, True),
        (40, DEEPANALYZE, 0, False, True),
        (48, DEEPANALYZE, 0, False, True),
        (80, DEEPANALYZE, 0, False, True),
        (16, DEEPANALYZE, 4_096, False, False),
    ],
)
def test_advice_follows_the_card(card_gib, shape, context, eight_bit_kv, fits):
    told = memory.advice(
        shape, card_gib * GIB, cards=1, fraction=0.9, context_tokens=context,
        eight_bit_kv=eight_bit_kv, quantized=False,
    )  # fmt: skip
    assert (told == "") == fits, told


def test_advice_names_the_settings_that_help():
    asked: dict[str, Any] = {
        "cards": 1, "fraction": 0.9, "context_tokens": 131_072, "quantized": False,
    }  # fmt: skip
    told = memory.advice(DEEPANALYZE, 24 * GIB, eight_bit_kv=False, **asked)
    assert "131072" in told and "CONTEXT_TOKENS=" in told and "VLLM_KV_CACHE_DTYPE=fp8" in told
    told = memory.advice(DEEPANALYZE, 16 * GIB, eight_bit_kv=False, **asked)
    assert "do not fit" in told and "VLLM_QUANTIZATION" in told and "VLLM_TENSOR_PARALLEL" in told
    two = memory.advice(DEEPANALYZE, 24 * GIB, eight_bit_kv=False, **{**asked, "cards": 2})
    assert two == ""


class Tokenizer:
    """Splits at spaces."""

    eos_token = "<|im_end|>"

    def __init__(self, *special: str) -> None:
        self._special = special

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [self._special.index(text)] if text in self._special else [1001, 1002]


def test_ends_are_resolved_from_the_vocabulary():
    tags = Tokenizer(*checkpoint.TAGS)
    assert checkpoint.ends(tags).code_id == checkpoint.TAGS.index("</Code>")
    assert checkpoint.split_tags(tags) == []
    plain = Tokenizer("<Code>")
    assert checkpoint.ends(plain).code_id is None
    assert "</Code>" in checkpoint.split_tags(plain)
    assert "<File>" not in checkpoint.split_tags(plain)
    assert "<Code>" not in checkpoint.split_tags(plain)


FINE = {"peft_type": "LORA", "r": 8, "bias": "none", "target_modules": ["q_proj"]}


def adapter(folder: Path, *, weights: str = "adapter_model.safetensors", **config) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps({**FINE, **config}))
    if weights:
        (folder / weights).write_bytes(b"0")
    return folder


@pytest.mark.req("T4")
@pytest.mark.parametrize("config", [{}, {"r": 16}, {"use_dora": False, "modules_to_save": None}])
def test_adapter_that_can_be_served(tmp_path: Path, config):
    lora.check(adapter(tmp_path, **config), largest_rank=16)


@pytest.mark.req("T4")
@pytest.mark.parametrize(
    ("config", "why", "remedy"),
    [
        ({"r": 17}, "rank 17 is above 16", "VLLM_ADAPTER_RANK=32"),
        ({"r": 0}, "rank is not told", "field r"),
        ({"r": "8"}, "rank is not told", "field r"),
        ({"peft_type": "IA3"}, "type IA3", "LoRA"),
        ({"use_dora": True}, "DoRA", "use_dora=False"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save", "merge"),
        ({"bias": "all"}, "biases", 'bias="none"'),
        ({"weights": ""}, "no adapter_model.safetensors", "anew"),
    ],
)
def test_adapter_that_cannot_says_why_and_what_to_do(tmp_path: Path, config, why, remedy):
    with pytest.raises(AdapterUnfit) as unfit:
        lora.check(adapter(tmp_path, **config), largest_rank=16)
    assert why in unfit.value.message and remedy in unfit.value.remedy


def test_adapter_with_a_torn_config(tmp_path: Path):
    with pytest.raises(AdapterNotFound):
        lora.check(tmp_path, largest_rank=16)
    for torn in ("{", "[]"):
        (adapter(tmp_path) / "adapter_config.json").write_text(torn)
        with pytest.raises(AdapterUnfit):
            lora.check(tmp_path, largest_rank=16)
