"""Merging: what is decided without the model by tables; the rest with a tiny one, made here."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.inference import tiny_model
from training import merge
from training.tuning import tags
from training.unusable import Unusable
from training.weights import base, merging, output
from training.weights.merging import Check, Difference
from training.weights.output import CannotWrite

pytestmark = pytest.mark.req("T4")
APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(merge.merge)
needs_torch = [
    pytest.mark.training,
    pytest.mark.skipif(
        importlib.util.find_spec("peft") is None, reason="peft is not in this environment"
    ),
]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float32"}, "float32"),
        ({"dtype": "torch.float16"}, "float16"),
        ({}, "bfloat16"),
    ],
)
def test_dtype_is_the_bases_own(told, expected):
    assert base.dtype(told) == expected


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantized \(gptq\)"),
        ({"quantization_config": {"load_in_4bit": True}}, r"quantized \(unknown\)"),
        ({"quantization_config": "fp8"}, r"quantized \(fp8\)"),
        ({"dtype": "int8"}, "weights are int8"),
        ({"torch_dtype": "float8_e4m3fn"}, "weights are float8"),
    ],
)
def test_base_that_cannot_be_merged_onto(told, why):
    with pytest.raises(Unusable, match=why):
        base.dtype(told)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_config_that_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(Unusable, match=r"config\.json"):
        base.config(tmp_path)


@pytest.mark.parametrize("model", ["/nowhere/at/all", "./nowhere", "just-a-name", "a/b/c"])
def test_model_that_is_neither_a_folder_nor_a_name_asks_no_hub(model):
    with pytest.raises(Unusable, match="neither a folder nor a name"):
        base.located(model)


class Words:
    """A tokenizer for which only these are one token."""

    def __init__(self, *whole: str) -> None:
        self._whole = whole

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [1] if text in self._whole else [1, 2]

    def __len__(self) -> int:
        return 12


def test_tags_and_rows_that_are_missing_are_told():
    base.require_tags(Words(*tags.TAGS), Path("here"))
    with pytest.raises(Unusable, match="</Code> are no single tokens"):
        base.require_tags(Words(*(tag for tag in tags.TAGS if tag != "</Code>")), Path("here"))
    base.require_rows(Words(), 12, Path("here"))
    with pytest.raises(Unusable, match="12 tokens, and the model rows for 11"):
        base.require_rows(Words(), 11, Path("here"))


def apart(largest: float, mean: float) -> Difference:
    return Difference(largest, mean, 10.0, 1.0)


@pytest.mark.parametrize(
    ("merged", "adapter", "fault"),
    [
        (apart(0.1, 0.01), apart(5, 1), ""),
        (apart(0.6, 0.01), apart(5, 1), "above the tolerance of 5.00%"),
        (apart(0.4, 0.3), apart(0.6, 0.5), "loses what the adapter does"),
        (apart(0.4, 0.2), apart(0.6, 0.5), ""),
        # what the adapter does is less than what rounding does: nothing can be said of it
        (apart(0.4, 0.3), apart(0.4, 0.3), ""),
        (apart(0, 0), apart(0, 0), ""),
    ],
)
def test_check(merged, adapter, fault):
    check = Check(merged, adapter, 0.05)
    assert fault in check.fault() and bool(fault) == bool(check.fault())
    assert bool(check.warning()) == (adapter.largest == 0)


def test_whole_output_is_there_at_the_end_or_not_at_all(tmp_path):
    there = tmp_path / "deep" / "model"
    with output.whole(there) as made:
        (made / "a").write_text("1")
        (made / "a").chmod(0o600)
        assert not there.exists()
    assert (there / "a").read_text() == "1" and (there / "a").stat().st_mode & 0o777 == 0o644
    with pytest.raises(CannotWrite, match="is there already"), output.whole(there):
        pass
    with pytest.raises(KeyboardInterrupt), output.whole(tmp_path / "deep" / "other") as made:
        (made / "a").write_text("half")
        raise KeyboardInterrupt
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["model"]


def test_whole_takes_the_place_of_an_empty_folder_and_of_nothing_else(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWrite), output.whole(tmp_path / "file"):
        pass
    (tmp_path / "empty").mkdir()
    with output.whole(tmp_path / "empty") as made:
        (made / "a").write_text("1")
    assert (tmp_path / "empty" / "a").is_file() and (tmp_path / "file").read_text() == "mine"


def test_room_is_asked_of_the_disk_before(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "training.weights.output.shutil.disk_usage", lambda _: SimpleNamespace(free=3 * output.GIB)
    )
    output.require_room(tmp_path / "not" / "yet", 3 * output.GIB)
    with pytest.raises(CannotWrite, match=r"3\.0 GiB left, and 16\.0 GiB"):
        output.require_room(tmp_path / "not" / "yet", 16 * output.GIB)


def test_memory_that_is_free_is_read():
    assert output.available_memory_bytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n") == 2**21
    assert output.available_memory_bytes("") == 0


@given(st.text())
def test_memory_of_any_text_is_none_or_a_number(text):
    assert output.available_memory_bytes("MemFree: 1 kB\n" + text.replace("Mem", "")) == 0


def test_prompts_are_read_and_a_line_that_is_none_is_told_by_its_number(tmp_path):
    path = tmp_path / "some.jsonl"
    message = {"role": "user", "content": "secret", "train": False}
    line = json.dumps({"id": "run-1", "messages": [message]})
    path.write_text(f"{line}\n" * 3 + "{}\n")
    found = merge.conversations(path, 2)
    assert found == [[{"role": "user", "content": "secret"}]] * 2
    with pytest.raises(Unusable, match=r"some\.jsonl:4: ") as told:
        merge.conversations(path, 9)
    assert "secret" not in str(told.value)
    path.write_text("")
    with pytest.raises(Unusable, match="no conversation"):
        merge.conversations(path, 1)


def notes(**check: Any) -> Mapping[str, Any]:
    told = {"largest_difference": 0.01, "relative_difference": 0.001, **check}
    return {"base": {"model": "owner/base"}, "adapter": {"name": "sales-v1"}, "check": told}


def test_card_names_the_base_for_the_hub():
    text = merge.card(notes())
    assert text.startswith("---\nbase_model: owner/base\n") and "`sales-v1`" in text
    assert "0.01 at most" in text and "(0.100% of the largest)" in text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    model = tiny_model.make(folder / "base")
    tiny_model.make_adapter(folder / "adapter", model)
    return folder


def merging_(folder: Path, *more: str, adapter: str = "adapter", model: str = "base"):
    words = ["--model", str(folder / model), "--adapter", str(folder / adapter)]
    return CliRunner().invoke(APP, [*words, "--output", str(folder / "merged"), *more])


class TestWithTorch:
    pytestmark = needs_torch

    def test_merged_model_is_base_and_adapter_in_one(self, made):
        (made / "adapter" / base.TEMPLATE).write_text(tiny_model.TEMPLATE + "{# ours #}")
        ended = merging_(made)
        assert ended.exit_code == 0, ended.output
        assert "largest difference" in ended.output and "100.0% of places" in ended.output
        there = made / "merged"
        told = json.loads((there / "merge.json").read_text())
        assert told["format"] == "isobath.merge/1" and told["base"]["model"] == "base"
        assert told["check"]["relative_difference"] < 1e-4 < told["check"]["adapter_largest"]
        now = output.digests(there)
        assert told["output"]["sha256"].items() <= now.items() and "model.safetensors" in now
        assert {"torch", "peft", "transformers"} <= set(told["versions"])
        assert (there / base.TEMPLATE).read_text().endswith("{# ours #}")
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            assert (there / name).read_bytes() == (made / "base" / name).read_bytes(), name
        again = merging_(made)
        assert again.exit_code == 1 and "is there already" in again.output

    @pytest.mark.parametrize("fault", ["tolerance", "nan", "shape", "tags", "template", "torn"])
    def test_what_goes_wrong_leaves_nothing(self, tmp_path, fault, monkeypatch):
        model = tiny_model.make(tmp_path / "base")
        adapter = tiny_model.make_adapter(tmp_path / "adapter", model)
        torch, safetensors = tiny_model._library("torch"), tiny_model._library("safetensors.torch")
        weights = adapter / "adapter_model.safetensors"
        held = safetensors.load_file(weights)
        words = []
        if fault == "tolerance":
            words = ["--tolerance", "0"]
        elif fault == "nan":
            held = {name: torch.full_like(each, torch.nan) for name, each in held.items()}
        elif fault == "shape":
            held = {name: each[:, :-1].contiguous() for name, each in held.items()}
        elif fault == "tags":
            monkeypatch.setattr(tiny_model, "SPECIAL", tiny_model.SPECIAL[:5])
            tiny_model.byte_tokenizer(tiny_model.TEMPLATE).save_pretrained(model)
        elif fault == "template":
            (model / base.TEMPLATE).unlink()
        safetensors.save_file(held, weights, {"format": "pt"})
        if fault == "torn":
            weights.write_bytes(weights.read_bytes()[:100])
        ended = merging_(tmp_path, *words)
        expected = {
            "tolerance": "above the tolerance", "nan": "NaN", "shape": "not of this base",
            "tags": "no single tokens", "template": "has a chat template", "torn": "not of this base",
        }  # fmt: skip
        assert isinstance(ended.exception, SystemExit), ended.exception
        assert ended.exit_code == 1 and expected[fault] in ended.output, ended.output
        assert sorted(each.name for each in tmp_path.iterdir()) == ["adapter", "base"]

    def test_adapter_that_does_nothing_is_told(self, tmp_path):
        model = tiny_model.make(tmp_path / "base")
        adapter = tiny_model.make_adapter(tmp_path / "adapter", model)
        safetensors = tiny_model._library("safetensors.torch")
        weights = adapter / "adapter_model.safetensors"
        held = {name: each * 0 for name, each in safetensors.load_file(weights).items()}
        safetensors.save_file(held, weights, {"format": "pt"})
        ended = merging_(tmp_path)
        assert ended.exit_code == 0 and "was it trained at all?" in ended.output, ended.output

    def test_bf16_stays_within_what_rounding_does(self, tmp_path, made):
        torch, transformers = tiny_model._library("torch"), tiny_model._library("transformers")
        model = tiny_model.make(tmp_path / "base")
        whole = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
        whole.save_pretrained(model)
        (tmp_path / "merged").mkdir()
        check = merging.merged(
            model, made / "adapter", tmp_path / "merged", merging.PROMPTS,
            device="cpu", tolerance=None, tell=lambda _: None,
        )  # fmt: skip
        assert check.tolerance == 0.05 and 0 < check.merged.relative < 0.05
        assert check.adapter.mean > 20 * check.merged.mean


def test_quantized_base_and_folder_without_an_adapter_are_refused_before_anything_loads(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "adapter").mkdir()
    config = {"quantization_config": {"quant_method": "bitsandbytes"}}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    ended = merging_(tmp_path)
    assert ended.exit_code == 1 and "no adapter_config.json" in ended.output
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    ended = merging_(tmp_path)
    assert ended.exit_code == 1 and "bf16 model that it was made from" in ended.output
    (tmp_path / "base" / "config.json").write_text("{}")
    ended = merging_(tmp_path)
    assert ended.exit_code == 1 and "no *.safetensors" in ended.output
