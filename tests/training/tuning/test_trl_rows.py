"""Rows of `training.data` before TRL itself: what its trainers count is what the model wrote."""

from pathlib import Path

import pytest

from training.data.conversation import Conversation, Turn
from training.data.formats import trl as rows

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
pytestmark = [pytest.mark.req("T3"), pytest.mark.filterwarnings("ignore")]
TEMPLATE = Path(__file__).parents[3] / "training" / "chat_template.jinja"

RUN = (
    Turn("system", "Be brief."),
    Turn("user", "Before?"),
    Turn("assistant", "<Answer>\nIt was so.\n</Answer>"),
    Turn("user", "# Instruction\nWhich region leads?"),
    Turn("assistant", "<Code>\nprint(1)\n</Code>", train=True),
    Turn("execute", "north 12 é\n"),
    Turn("assistant", "<Answer>\nThe north.\n</Answer>", train=True),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tests.inference.tiny_model import make

    return make(tmp_path_factory.mktemp("model"))


@pytest.fixture
def tokenizer(model):
    tokenizer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE.read_text()
    return tokenizer


def test_sft_counts_what_the_model_wrote_in_this_run(model, tokenizer, tmp_path):
    row = rows.row(Conversation("run-1", "group", RUN))
    trainer = trl.SFTTrainer(
        model=str(model),
        args=trl.SFTConfig(
            output_dir=str(tmp_path),
            assistant_only_loss=True,
            use_cpu=True,
            report_to=[],
            max_length=None,
            per_device_train_batch_size=1,
        ),
        train_dataset=datasets.Dataset.from_list([row]),
        processing_class=tokenizer,
    )
    (batch,) = trainer.get_train_dataloader()
    ids, labels = batch["input_ids"][0], batch["labels"][0]
    seen = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in RUN)
    assert tokenizer.decode(ids) == seen
    assert tokenizer.decode(labels[labels != -100]) == "".join(
        f"{turn.content}<|im_end|>" for turn in RUN if turn.train
    )


def test_dpo_counts_the_two_answers(model, tokenizer, tmp_path):
    *prompt, answer = ({"role": turn.role, "content": turn.content} for turn in RUN)
    other = {**answer, "content": "<Answer>\nThe south.\n</Answer>"}
    row = {"prompt": prompt, "chosen": [other], "rejected": [answer]}
    trainer = trl.DPOTrainer(
        model=str(model),
        args=trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to=[], max_length=None),
        train_dataset=datasets.Dataset.from_list([row]),
        processing_class=tokenizer,
    )
    (batch,) = trainer.get_train_dataloader()
    texts = [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert [text.removesuffix("\n") for text in texts] == [
        f"{each['content']}<|im_end|>" for each in (other, answer)
    ]
