"""`axolotl.cli.preprocess` and `accelerate launch -m axolotl.cli.train` with our file, on CPU: a random
model of two layers stands for DeepAnalyze-8B, and what only a GPU has is turned off."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from axolotl.cli.preprocess import do_cli as preprocess
from datasets import load_from_disk
from safetensors.torch import load_file

from tests.axolotl.files import BASE, TEMPLATE
from tests.axolotl.rows import expected, row, written
from tests.inference import tiny_model
from training.data.conversation import Turn

pytestmark = [pytest.mark.axolotl, pytest.mark.req("T2")]

SMALL = {
    "base_model": "base", "sequence_len": 512, "attn_implementation": "sdpa", "bf16": False,
    "tf32": False, "plugins": [], "fsdp_version": None, "fsdp_config": None, "sample_packing": False,
    "pad_to_sequence_len": False, "optimizer": "adamw_torch", "learning_rate": 0.01,
    "gradient_accumulation_steps": 1, "use_tensorboard": False, "dataset_num_proc": 1,
    "dataloader_num_workers": 0, "dataloader_prefetch_factor": None, "dataloader_pin_memory": False,
}  # fmt: skip


def conversation(answer: str) -> list[Turn]:
    return [
        Turn("user", "# Instruction\ncount the orders"),
        written("<Code>\nprint(1)\n</Code>"),
        Turn("execute", "1\n"),
        written(f"<Execute>1</Execute><Answer>{answer}</Answer>", "<Execute>1</Execute>"),
    ]


def export(split: str, *answers: str) -> None:
    path = Path(f"dataset/axolotl/{split}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row(conversation(each))) + "\n" for each in answers))


@pytest.fixture(autouse=True)
def ground(at_home):
    """The folder that the commands are started in: a model, an export, the template in its place."""
    Path("training").mkdir()
    shutil.copy(TEMPLATE, "training")
    tiny_model.make(Path("base"), template=TEMPLATE.read_text())
    export("train", *"abcdef")
    export("validation", "g")


def prepared(split: str) -> list[tuple[list[int], list[int]]]:
    """Of the preparations on disk, that with as many rows as the split."""
    wanted = len(Path(f"dataset/axolotl/{split}.jsonl").read_text().splitlines())
    every = [load_from_disk(str(each.parent)) for each in Path("checkpoints").rglob("state.json")]
    (found,) = [each for each in every if len(each) == wanted]
    return [(list(each["input_ids"]), list(each["labels"])) for each in found]


def launched(**changes: object) -> str:
    arguments = [f"--{key}={value}" for key, value in {**SMALL, **changes}.items()]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=1"]
    ended = subprocess.run(
        [*command, "-m", "axolotl.cli.train", str(BASE), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=350,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-4000:]
    return ended.stdout


def state(checkpoint: str) -> dict[str, Any]:
    return json.loads(Path("checkpoints/axolotl", checkpoint, "trainer_state.json").read_text())


def losses(checkpoint: str, name: str) -> list[float]:
    return [float(each[name]) for each in state(checkpoint)["log_history"] if name in each]


def test_preprocessing_reads_an_export_of_the_same_name_anew():
    tokenizer = tiny_model.byte_tokenizer(TEMPLATE.read_text())
    preprocess(str(BASE), **SMALL)
    export("train", *"hijklm")
    preprocess(str(BASE), **SMALL)
    assert sorted(prepared("train")) == sorted(
        expected(tokenizer, conversation(each)) for each in "hijklm"
    )


def test_what_is_longer_than_the_context_stops_the_run_before_training():
    export("train", *"abcde", "orders " * 600)
    with pytest.raises(ValueError, match="exceeds the maximum"):
        preprocess(str(BASE), **SMALL)


def test_launched_it_learns_keeps_the_best_and_goes_on_where_it_ended():
    few = {"save_steps": 3, "eval_steps": 3}
    launched(num_epochs=1, **few)
    assert [each.name for each in sorted(Path("checkpoints/axolotl").glob("checkpoint-*"))] == [
        "checkpoint-3",
        "checkpoint-6",
    ]
    before = losses("checkpoint-6", "eval_loss")
    assert before[-1] < before[0]
    first = load_file("checkpoints/axolotl/model.safetensors")

    launched(num_epochs=2, **few)
    assert state("checkpoint-12")["global_step"] == 12
    # one curve from the first step to the last: it did not begin anew
    assert len(losses("checkpoint-12", "loss")) == 12
    assert losses("checkpoint-12", "eval_loss")[: len(before)] == before
    assert min(losses("checkpoint-12", "eval_loss")) < min(before)
    # all of it was trained, the embedding and each layer
    second = load_file("checkpoints/axolotl/model.safetensors")
    assert all(not first[key].equal(second[key]) for key in first)
    saved = Path("checkpoints/axolotl/chat_template.jinja").read_text()
    assert saved == TEMPLATE.read_text()
