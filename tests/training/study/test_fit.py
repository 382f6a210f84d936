"""A tiny model from random weights, trained for seconds on conversations that are made here."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from training.data.conversation import read
from training.study import points
from training.study.fit import CURVE, FIGURES, PARTS, PICTURE, Fit, Fitting, main, prepared
from training.study.vocabulary import SPECIAL, learned, phrases
from training.tuning.template import Template

pytestmark = pytest.mark.req("T2")
needs_torch = [
    pytest.mark.training,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="torch is not in this environment"
    ),
]
COMMON = "import pandas as pd  # always the same\n"


def conversation(number: int, part: str) -> dict[str, object]:
    code = f"<Analyze>\nI count.\n</Analyze>\n<Code>\n{COMMON}print({number})\n</Code>"
    messages = [
        {"role": "user", "content": f"# Instruction\nHow many {part} of {number}?", "train": False},
        {"role": "assistant", "content": code, "train": True},
        {"role": "execute", "content": str(number), "train": False},
        {"role": "assistant", "content": f"<Answer>\n**{number}**\n</Answer>", "train": True},
    ]
    return {"id": f"{part}-{number}", "source": part, "messages": messages}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part in PARTS:
        lines = [json.dumps(conversation(number, part)) + "\n" for number in range(6)]
        (tmp_path / f"{part}.jsonl").write_text("".join(lines))
    return tmp_path


FITTING = Fitting(
    minutes=0.05, parameters=300_000, vocabulary=330, context=256, batch=2, rate=3e-3,
    checkpoints=2, held=2, seed=3,
)  # fmt: skip


def test_phrases_are_the_lines_that_most_conversations_have(data: Path) -> None:
    assert phrases(read(data / "train.jsonl")) == [COMMON]


class TestWithTorch:
    pytestmark = needs_torch

    def test_vocabulary_has_tags_and_whole_lines_as_single_tokens(self, data: Path) -> None:
        held = read(data / "train.jsonl")
        tokenizer = learned(held, 330)
        for text in (*SPECIAL, COMMON):
            assert len(tokenizer.encode(text, add_special_tokens=False)) == 1, text
        for each in held:
            text = Template(tokenizer).layout(each).text
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.decode(ids, skip_special_tokens=False) == text

    def test_all_weights_are_trained_and_the_loss_falls(self, data: Path, tmp_path: Path) -> None:
        ready = prepared(data, FITTING)
        fit = Fit(ready, FITTING, tmp_path / "model")
        weights: dict[str, Any] = dict(fit.model.named_parameters())
        assert sum(each.numel() for each in weights.values()) == ready.shape.parameters
        before = {name: each.detach().clone() for name, each in weights.items()}
        first = fit.measured("strange")
        found = fit.run()
        assert not [name for name, each in weights.items() if each.equal(before[name])]
        assert fit.measured("strange") < first
        kept = [each for each in found if each.checkpoint]
        assert len(kept) == 2
        assert found[-1] is kept[-1]
        assert found[-1].seconds >= 3

    def test_only_what_the_model_wrote_counts(self, data: Path) -> None:
        ready = prepared(data, FITTING)
        for example in ready.parts["train"].examples:
            counted = [label for label in example.labels if label >= 0]
            told = ready.tokenizer.decode(counted, skip_special_tokens=False)
            assert told.startswith("<Analyze>")
            assert told.endswith("</Answer><|im_end|>")
            assert "# Instruction" not in told

    def test_command_writes_checkpoints_and_figures(self, data: Path, tmp_path: Path) -> None:
        output = tmp_path / "model"
        main(
            data=data, output=output, minutes=0.02, parameters="300k", vocabulary=330, context=256,
            batch=2, rate=1e-3, checkpoints=1, held=2, seed=3,
        )  # fmt: skip
        (kept,) = [each for each in points.read(output / CURVE) if each.checkpoint]
        assert (output / kept.checkpoint / "model.safetensors").exists()
        assert (output / kept.checkpoint / "tokenizer.json").exists()
        assert (output / PICTURE).read_bytes().startswith(b"\x89PNG")
        figures = json.loads((output / FIGURES).read_text())
        assert figures["conversations"] == dict.fromkeys(PARTS, 6)
        assert figures["steps"] == kept.step
