"""Training itself, of a tiny model on CPU: what it leaves, and that it can be broken and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training import adapter, lora
from training.tuning.options import Lora, Options
from training.tuning.watching import Teller
from training.unusable import Unusable

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.req("T1"), pytest.mark.training, pytest.mark.slow]


@pytest.fixture
def options(base: Path, data: Path, tmp_path: Path) -> Options:
    return Options(
        model=str(base), data=data, output=tmp_path / "out", max_steps=4, every=2, batch=2,
        accumulation=1, learning_rate=1e-2, lora=Lora(rank=8, dropout=0.1),
        gradient_checkpointing=False, held_out=0.25,
    )  # fmt: skip


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_run_leaves_an_adapter_that_vllm_takes_and_how_it_was_made(options, capsys):
    assert lora.run(options, dry_run=False) == 0
    folder = options.output
    assert adapter.faults(folder) == []
    told = json.loads((folder / "training.json").read_text())
    assert (told["state"], told["method"], told["backend"]) == ("completed", "lora", "trl")
    assert told["conversations"]["train"] == 3 and told["conversations"]["held_out"] == 1
    assert told["arguments"]["lora"]["rank"] == 8 and told["versions"]["trl"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == options.model
    rows = list(csv.DictReader((folder / "loss.csv").open()))
    held = {int(row["step"]): float(row["eval_loss"]) for row in rows if row["eval_loss"]}
    assert set(held) == {2, 4} and told["best_step"] == min(held, key=lambda step: held[step])
    assert told["final"]["eval_loss"] == held[told["best_step"]]
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    card = (folder / "README.md").read_text()
    assert str(told["tokens"]["trained"]) in card and f"step {told['best_step']} of 4" in card
    template = (ROOT / "training/chat_template.jinja").read_text()
    assert (folder / "chat_template.jinja").read_text() == template
    assert "step 4/4" in capsys.readouterr().out


def test_run_that_was_stopped_and_resumed_ends_where_an_unbroken_one_does(
    options, tmp_path, monkeypatch, capsys
):
    assert lora.run(options, dry_run=False) == 0
    broken = replace(options, output=tmp_path / "broken")

    def stop(self, step, steps, entry):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Teller, "step", stop)
        assert lora.run(broken, dry_run=False) == 128 + signal.SIGTERM
    assert "--resume" in capsys.readouterr().out
    assert json.loads((broken.output / "training.json").read_text())["state"] == "stopped"
    with pytest.raises(Unusable, match="holds a run already"):
        lora.run(broken, dry_run=False)
    other = replace(broken, resume=True, learning_rate=1e-3)
    with pytest.raises(Unusable, match="other now: learning_rate"):
        lora.run(other, dry_run=False)
    assert lora.run(replace(broken, resume=True), dry_run=False) == 0
    whole, mended = weights(options.output), weights(broken.output)
    assert whole.keys() == mended.keys()
    for name, weight in whole.items():
        assert (weight - mended[name]).abs().max() <= 1e-5, name


def test_run_that_gets_no_better_stops_and_keeps_its_best_step(options):
    # strides that are too long to get anywhere
    options = replace(
        options, max_steps=60, every=1, patience=2, learning_rate=10.0, scheduler="constant"
    )
    assert lora.run(options, dry_run=False) == 0
    told = json.loads((options.output / "training.json").read_text())
    rows = list(csv.DictReader((options.output / "loss.csv").open()))
    held = [(float(row["eval_loss"]), int(row["step"])) for row in rows if row["eval_loss"]]
    assert told["steps"] == held[-1][1] < 60
    assert told["best_step"] == min(held)[1] == told["steps"] - 2
    kept = options.checkpoints / f"checkpoint-{told['best_step']}"
    whole, best = weights(options.output), weights(kept)
    assert all((weight == best[name]).all() for name, weight in whole.items())


def test_dry_run_by_its_path_checks_and_trains_nothing(options, base):
    done = subprocess.run(
        [sys.executable, "training/lora.py", "--model", str(base), "--data", str(options.data),
         "--output", str(options.output), "--epochs", "3", "--dry-run"],
        cwd=ROOT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "train: 4 conversations" in done.stdout and "memory about" in done.stdout
    assert not options.output.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lora": Lora(targets=("qkv",))}, "the model has no qkv; it has down_proj"),
        ({"load_in_4bit": True}, "needs a GPU"),
        ({"backend": "unsloth"}, "needs a GPU"),
        ({"patience": 2, "held_out": 0.0}, "--patience needs"),
        ({"context": 20}, "4 conversations are longer than 20 tokens|3 conversations"),
        ({"resume": True}, "training.json cannot be read"),
        ({"model": "/no/such/folder"}, "no folder with a tokenizer"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(options, change, told):
    with pytest.raises(Unusable, match=told):
        lora.run(replace(options, **change), dry_run=False)
    assert not options.checkpoints.exists()
