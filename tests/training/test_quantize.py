"""Fewer bits: what counts by tables; and the command itself on a tiny model, which vLLM then serves.

The latter needs two environments, whose pins contradict each other: `make test-quantize`."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import quantize
from training.data.conversation import Turn, read
from training.tuning import tags
from training.unusable import Unusable
from training.weights import calibration, output, quantizing
from training.weights.calibration import Tokens
from training.weights.quantizing import Measured, Scheme

ROOT = Path(__file__).resolve().parents[2]
QUANTIZING = ROOT / ".venv-quantize" / "bin" / "python"
pytestmark = pytest.mark.req("T4")


class ByCharacter:
    """A tokenizer of ChatML whose tokens are characters."""

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {
            "input_ids": [ord(each) for each in text],
            "offset_mapping": [(at, at + 1) for at in range(len(text))],
        }

    def apply_chat_template(self, messages: Sequence[dict[str, str]], tokenize: bool) -> str:
        return "".join(f"[{m['role']}:{m['content']}]\n" for m in messages)


class Forgetful(ByCharacter):
    """Leaves what the model thought out of earlier turns, as some templates do."""

    def apply_chat_template(self, messages: Sequence[dict[str, str]], tokenize: bool) -> str:
        last = len(messages) - 1
        return "".join(
            f"[{m['content'] if at == last else m['content'][-1:]}]"
            for at, m in enumerate(messages)
        )


def counted(turns: Sequence[Turn], length: int = 10_000) -> str:
    told = calibration.tokens(ByCharacter(), turns, length)
    assert len(told.ids) == len(told.counted)
    pairs = zip(told.ids, told.counted, strict=True)
    return "".join(chr(each) for each, counts in pairs if counts)


def test_what_the_model_wrote_counts_with_the_end_of_its_turn():
    turns = [
        Turn("user", "how many"),
        Turn("assistant", "an earlier answer"),
        Turn("assistant", "ab<Execute>12</Execute>cd", True, ((2, 23),)),
        Turn("execute", "ab"),
        Turn("assistant", "ab", True),
    ]
    assert counted(turns) == "abcd]\nab]\n"
    assert counted(turns[:2]) == ""
    whole = len(calibration.laid_out(ByCharacter(), turns))
    assert counted(turns, whole - 4) == "abcd]\n"


words = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=6)
roles = st.sampled_from(["user", "assistant", "execute"])


@given(st.lists(st.tuples(roles, words), min_size=1, max_size=6))
def test_any_conversation_counts_its_trained_turns_and_nothing_else(told):
    turns = [Turn(role, content, role == "assistant") for role, content in told]
    expected = "".join(f"{turn.content}]\n" for turn in turns if turn.train)
    assert counted(turns) == expected


def test_template_that_changes_earlier_turns_is_refused():
    turns = [Turn("user", "hello"), Turn("assistant", "there", True), Turn("user", "again")]
    with pytest.raises(Unusable, match=r"chat_template\.jinja"):
        calibration.tokens(Forgetful(), turns, 100)


def test_what_is_calibrated_with_is_not_measured_on(tmp_path):
    path = tmp_path / "messages.jsonl"
    path.write_text("".join(line(number) for number in range(4)))
    found = read(path, 9)
    assert [each.id for each in found] == ["run-0", "run-1", "run-2", "run-3"]
    assert len(read(path, 2)) == 2
    calibration.require_apart(found[:2], found[2:])
    with pytest.raises(Unusable, match="1 conversations of --held-out"):
        calibration.require_apart(found[:3], found[2:])


def line(number: int) -> str:
    """A run of the builder's form."""
    answer = f"<Analyze>Region {number} first.</Analyze>\n<Code>\nprint({number})\n</Code>"
    messages = [
        {"role": "user", "content": f"count the orders by region {number}", "train": False},
        {"role": "assistant", "content": answer, "train": True},
        {"role": "execute", "content": f"region {number}", "train": False},
        {"role": "assistant", "content": f"<Answer>{number}</Answer>", "train": True},
    ]
    return json.dumps({"id": f"run-{number}", "source": "sales", "messages": messages}) + "\n"


@pytest.mark.parametrize(
    ("bits", "scheme", "expected"),
    [
        (8, None, Scheme.W8A8),
        (4, None, Scheme.W4A16),
        (8, Scheme.FP8, Scheme.FP8),
        (4, Scheme.W4A16, Scheme.W4A16),
    ],
)
def test_scheme_follows_bits(bits, scheme, expected):
    assert quantize.scheme_of(bits, scheme) is expected


@pytest.mark.parametrize(
    ("bits", "scheme", "why"), [(5, None, "8 or 4"), (4, Scheme.FP8, "say --bits 8")]
)
def test_scheme_that_contradicts_bits_is_told(bits, scheme, why):
    with pytest.raises(Unusable, match=why):
        quantize.scheme_of(bits, scheme)


@pytest.mark.parametrize(
    ("inputs", "scheme", "group", "way"),
    [
        ({"a": 4096, "b": 12288}, Scheme.W4A16, 128, ""),
        ({"a": 64, "b": 128}, Scheme.W4A16, 128, "choose --group 64"),
        ({"a": 96, "b": 128}, Scheme.W4A16, 128, "choose --group 32"),
        ({"a": 100}, Scheme.W4A16, 128, "another scheme"),
        ({"a": 100}, Scheme.W8A8, 128, ""),
    ],
)
def test_groups_fit_the_layers(inputs, scheme, group, way):
    if not way:
        quantizing.require_groups(inputs, scheme, group)
        return
    with pytest.raises(Unusable, match=way):
        quantizing.require_groups(inputs, scheme, group)


def test_summary_tells_size_and_cost():
    told = quantize.summary(Measured(1.0, 1.1, 1234, 16 * output.GIB, 8 * output.GIB))
    assert "16.00 GiB of weights became 8.00 GiB (50%)" in told
    assert "loss 1.0000 → 1.1000" in told and "perplexity 2.718 → 3.004" in told
    assert "1,234 tokens" in told


@pytest.mark.quantize
@pytest.mark.slow
# engines and compressions, each a process that reads PyTorch anew
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not QUANTIZING.exists() or importlib.util.find_spec("vllm") is None,
    reason="needs .venv-quantize, and vLLM in this one: make test-quantize",
)
@pytest.mark.filterwarnings("ignore:Unclosed context <zmq:ResourceWarning")
class TestWithBothEnvironments:
    @pytest.fixture(scope="class")
    def made(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        from tests.inference import tiny_model

        folder = tmp_path_factory.mktemp("quantize")
        tiny_model.make(folder / "base")
        (folder / "train.jsonl").write_text("".join(line(number) for number in range(16)))
        (folder / "test.jsonl").write_text("".join(line(number) for number in range(90, 96)))
        return folder

    @pytest.mark.parametrize(
        ("words", "most"),
        [
            (("--bits", "8"), 0.55),
            (("--bits", "8", "--scheme", "fp8"), 0.55),
            (("--bits", "4", "--group", "32"), 0.5),
        ],
    )
    async def test_model_is_smaller_told_and_served(self, made, words, most, monkeypatch):
        to = made / "-".join(each.strip("-") for each in words)
        done = command(made, to, *words)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "became" in done.stdout and "perplexity" in done.stdout
        notes = json.loads((to / "quantize.json").read_text())
        told = notes["measured"]
        assert told["bytes_after"] < most * told["bytes_before"]
        assert abs(told["loss_after"] - told["loss_before"]) < 0.1 and told["tokens"] > 100
        assert notes["calibrated_with"]["conversations"] == (0 if "fp8" in words else 16)
        assert notes["output"]["sha256"].items() <= output.digests(to).items()
        method = json.loads((to / "config.json").read_text())["quantization_config"]
        assert method["quant_method"] == "compressed-tensors"
        again = command(made, to, *words)
        assert again.returncode == 1 and "is there already" in again.stdout
        if "4" not in words or has_4_bit_kernel():
            await serves(to, monkeypatch)

    def test_what_cannot_be_done_leaves_nothing(self, made):
        for words, told in (
            (("--bits", "4"), "choose --group 64"),
            (("--bits", "4", "--group", "32", "--most", "-9"), "nothing was written"),
        ):
            done = command(made, made / "none", *words)
            assert done.returncode == 1 and told in done.stdout, done.stdout[-2000:]
            assert not [each for each in made.iterdir() if "none" in each.name]


def command(made: Path, to: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """In the environment that has llm-compressor."""
    return subprocess.run(
        [
            *(str(QUANTIZING), "-m", "training.quantize", "--model", str(made / "base")),
            *("--data", str(made / "train.jsonl"), "--held-out", str(made / "test.jsonl")),
            *("--output", str(to), "--length", "256", *words),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def has_4_bit_kernel() -> bool:
    """vLLM's for CPU is there where the processor has AVX-512."""
    torch = importlib.import_module("torch")
    # registers what there is
    importlib.import_module("vllm._custom_ops")
    return hasattr(torch.ops._C, "cpu_gemm_wna16")


async def serves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inference service, with the model as `vllm` reads it."""
    from isobath.inference.v1 import inference_pb2 as pb
    from tests.inference.test_vllm_engine import SETTINGS, answer, asking, service

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = replace(SETTINGS, model=str(folder), vllm_dtype="bfloat16", vllm_adapters=0)
    async with service(settings, folder) as found:
        text, _, ended = await answer(found.stub, asking())
        assert text and ended.finish_reason == pb.FINISH_REASON_LENGTH


def test_tokens_that_are_counted_are_those_of_the_loss():
    """One that is not counted is not predicted; the first is nobody's prediction."""
    torch = pytest.importorskip("torch")

    class Uniform:
        device = "cpu"

        def __call__(self, input_ids: Any) -> Any:
            logits = torch.zeros(1, input_ids.shape[1], 8)
            return type("Output", (), {"logits": logits})()

    each = Tokens([1, 2, 3, 4], [True, False, True, True])
    found, number = quantizing.loss(Uniform(), [each, Tokens([1, 2], [False, False])])
    assert number == 2 and found == pytest.approx(2.0794, abs=1e-3)  # ln 8
    with pytest.raises(Unusable, match="nothing of the held-out"):
        quantizing.loss(Uniform(), [Tokens([1, 2], [False, False])])


def test_tags_are_those_that_the_service_looks_for():
    from services.inference.engines.vllm import checkpoint

    assert checkpoint.TAGS == tags.TAGS
