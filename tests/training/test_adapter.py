"""Adapters that vLLM would refuse are told from their files."""

import json
import struct
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from training.adapter import Unreadable, faults, main

pytestmark = pytest.mark.req("T1")
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
A, B = f"{MODULE}.lora_A.weight", f"{MODULE}.lora_B.weight"
CONFIG = {
    "peft_type": "LORA", "r": 2, "bias": "none", "target_modules": ["q_proj"],
    "base_model_name_or_path": "base", "modules_to_save": None, "use_dora": False,
}  # fmt: skip
NAN = float("nan")


def adapter(folder: Path, tensors=None, **config) -> Path:
    """`tensors`: (shape, numbers) by name."""
    tensors = tensors or {A: ((2, 3), [0.5] * 6), B: ((4, 2), [0.0] * 7 + [0.25])}
    told, content = {}, b""
    for name, (shape, numbers) in tensors.items():
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        offsets = [len(content), len(content) + len(packed)]
        told[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        content += packed
    head = json.dumps({"__metadata__": {"format": "pt"}, **told}).encode()
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    weights = struct.pack("<Q", len(head)) + head + content
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def test_good_adapter_has_no_fault(tmp_path):
    assert faults(adapter(tmp_path)) == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"peft_type": "IA3"}, "train it as LoRA"),
        ({"r": 0}, "no number above 0"),
        ({"r": 65}, "VLLM_ADAPTER_RANK=128"),
        ({"r": 1000}, "at most 512"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"base_model_name_or_path": None}, "which model"),
        ({"target_modules": ["q_proj", "o_proj"]}, "no weights for the target o_proj"),
        ({"r": 4}, "not of the rank"),
    ],
)
def test_config_that_vllm_refuses_is_told_with_the_remedy(tmp_path, config, told):
    assert any(told in fault for fault in faults(adapter(tmp_path, **config)))


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({A: ((2, 3), [0.5] * 6)}, "only one of its two halves"),
        ({"x.bias": ((1,), [0.5])}, "none of a LoRA layer"),
        ({A: ((2, 3), [0.5] * 6), B: ((4, 2), [0.0] * 8)}, "never trained"),
        ({A: ((2, 3), [NAN] * 6), B: ((4, 2), [1.0] * 8)}, "NaN"),
        ({A: ((2, 3), [0.5] * 6), B: ((4, 2), [float("-inf")] * 8)}, "NaN or infinity"),
        ({A: ((2, 3), [0.5] * 6), B: ((4, 2), [-0.0] * 8)}, "never trained"),
    ],
)
def test_weights_that_vllm_cannot_use_are_told(tmp_path, tensors, told):
    assert any(told in fault for fault in faults(adapter(tmp_path, tensors)))


def test_what_is_no_adapter_cannot_be_read(tmp_path):
    with pytest.raises(Unreadable):
        faults(tmp_path)
    adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\xff" * 16)
    with pytest.raises(Unreadable):
        faults(tmp_path)


def test_command_ends_with_1_for_an_adapter_with_faults(tmp_path):
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, [str(adapter(tmp_path))]).exit_code == 0
    refused = CliRunner().invoke(app, [str(adapter(tmp_path, r=2, use_dora=True))])
    assert refused.exit_code == 1 and "DoRA" in refused.output
    assert CliRunner().invoke(app, [str(tmp_path / "none")]).exit_code == 2
