"""The tokens and labels that Axolotl makes of our rows are ours: what the model wrote, and no more."""

import random

import pytest
from axolotl.loaders.tokenizer import load_tokenizer
from axolotl.prompt_strategies.chat_template import load
from axolotl.utils.config import normalize_cfg_datasets
from axolotl.utils.dict import DictDefault
from transformers import AutoTokenizer

from tests.axolotl import tokenizers
from tests.axolotl.files import TEMPLATE, settings
from tests.axolotl.rows import IGNORED, expected, row, written
from tests.inference import tiny_model
from training.data.conversation import Turn

pytestmark = [pytest.mark.axolotl, pytest.mark.req("T2", "T3")]

USER = Turn("user", "# Instruction\ncount the orders")
CODE = written("<Analyze>\nlook\n</Analyze>\n<Code>\n```python\nprint(1)\n```\n</Code>")
RESULT = Turn("execute", "1\n")
ANSWER = written("<Answer>\nIt is 1.\n</Answer>")
INLINE = "<Code>\nprint(1)\n</Code>\n<Execute>\n1\n\n</Execute>\n<Answer>\nso\n</Answer>"
CASES = {
    "turns": [USER, CODE, RESULT, ANSWER],
    "system": [Turn("system", "be brief"), USER, CODE, RESULT, ANSWER],
    "an earlier answer": [USER, Turn("assistant", "<Answer>1</Answer>"), USER, ANSWER],
    "a first and no last": [USER, ANSWER, USER, Turn("assistant", "<Answer>1</Answer>")],
    "execute inline": [USER, written(INLINE, "<Execute>\n1\n\n</Execute>")],
    "with its line breaks": [USER, written(INLINE, "\n<Execute>\n1\n\n</Execute>\n")],
    "masked at the start": [USER, written("<File>a</File>\nok.", "<File>a</File>")],
    "masked at the end": [USER, written("a\n<Execute>1</Execute>", "<Execute>1</Execute>")],
    "masked twice": [
        USER,
        written("a<Execute>1</Execute>b<File>x</File>c", "<Execute>1</Execute>", "<File>x</File>"),
    ],
    "masked side by side": [
        USER,
        written("a<Execute>1</Execute><File>x</File>c", "<Execute>1</Execute>", "<File>x</File>"),
    ],
    "one letter": [USER, written("abcdef", "c")],
    "characters of several tokens": [
        USER,
        written("é 😀<Execute>你好 😀</Execute>😀", "<Execute>你好 😀</Execute>"),
    ],
    "the same text by others": [Turn("user", "count"), written("count"), Turn("execute", "count")],
    "no output": [USER, CODE, Turn("execute", ""), ANSWER],
    "blanks at the end": [USER, written("<Answer>1</Answer> \n\n"), USER, ANSWER],
    "line breaks at the start": [USER, written("\n\n\n你<File>x</File>ok.", "<File>x</File>")],
    "blanks of others": [Turn("user", "\n\n a \n"), CODE, Turn("execute", "\n\n\n"), ANSWER],
}


@pytest.fixture(scope="module", params=["byte_level", "qwen_like"])
def tokenizer(request):
    return getattr(tokenizers, request.param)()


@pytest.fixture(scope="module")
def strategy(tokenizer):
    return loaded(tokenizer)


def loaded(tokenizer, **changes):
    config = DictDefault({**settings(), "chat_template_jinja": str(TEMPLATE), **changes})
    normalize_cfg_datasets(config)
    return load(tokenizer, config, config.datasets[0].to_dict())


def made(strategy, messages):
    found = strategy.tokenize_prompt(row(messages))
    return found["input_ids"], found["labels"]


@pytest.mark.parametrize("name", CASES)
def test_labels_are_those_of_the_models_text(strategy, tokenizer, name):
    messages = CASES[name]
    ids, labels = made(strategy, messages)
    assert (ids, labels) == expected(tokenizer, messages)
    assert any(label != IGNORED for label in labels)


def test_text_behind_the_labels_is_what_the_model_wrote(strategy, tokenizer):
    """Read back, without the way in which the expectation is worked out."""
    _, labels = made(strategy, [*CASES["turns"], *CASES["execute inline"]])
    counted = tokenizer.decode([each for each in labels if each != IGNORED])
    before, behind = INLINE.split("<Execute>\n1\n\n</Execute>")
    assert counted == "<|im_end|>".join([CODE.content, ANSWER.content, before + behind, ""])


PIECES = ("\n", "\n\n", " ", "  ", "\t", "\r\n", "count", "the orders.", "é", "😀", "你", "1", "x",
          "print(x)", "<Code>", "</Code>", "<Answer>", "</Answer>")  # fmt: skip


def pieces(chance, most):
    return "".join(chance.choices(PIECES, k=chance.randint(0, most)))


def anything(chance):
    """What a model may have written, with masked blocks."""
    content, masked = "", []
    for tag in chance.choices(("Execute", "File", ""), k=chance.randint(1, 4)):
        content += pieces(chance, 5)
        block = f"<{tag}>{pieces(chance, 5)}</{tag}>" if tag else ""
        masked += [(len(content), len(content) + len(block))] if tag else []
        content += block
    # an empty message has nothing to train, and Axolotl leaves its end out
    return Turn("assistant", content, bool(content.strip()), tuple(masked))


@pytest.mark.parametrize("seed", range(10))
def test_labels_are_ours_whatever_was_written(strategy, tokenizer, seed):
    chance = random.Random(seed)
    for _ in range(40):
        others = [Turn(role, pieces(chance, 4)) for role in ("execute", "user")]
        messages = [USER, anything(chance), *others, anything(chance)]
        assert made(strategy, messages) == expected(tokenizer, messages), messages


def test_line_breaks_at_the_start_would_shift_the_masks():
    """Why the builder leaves them out. When this fails, Axolotl has mended it."""
    tokenizer = tokenizers.qwen_like()
    masked = "<Execute>1</Execute>"
    content = f"\n\n\n你{masked}ok."
    at = content.index(masked)
    details = [
        {"begin_offset": 0, "end_offset": at - 1, "train": True},
        {"begin_offset": at, "end_offset": at + len(masked) - 1, "train": False},
        {"begin_offset": at + len(masked), "end_offset": len(content) - 1, "train": True},
    ]
    message = {"role": "assistant", "content": content, "train": True, "train_detail": details}
    found = loaded(tokenizer).tokenize_prompt({"messages": [message]})
    assert "</Execute>" in tokenizer.decode([each for each in found["labels"] if each != IGNORED])


def test_a_tokenizer_without_the_end_of_a_turn_is_refused():
    tokenizer = tokenizers.byte_level()
    tokenizer.eos_token = "<|endoftext|>"
    template = TEMPLATE.read_text().replace("<|im_end|>", "<|turn_end|>")
    with pytest.raises(ValueError, match="encoded as multiple tokens"):
        loaded(tokenizer, chat_template_jinja=template, eot_tokens=["<|turn_end|>"])


def test_the_tokenizer_is_left_as_it_is(tmp_path):
    """Tags stay one token each, and what is special stays special: serving reads them by their ids."""
    base = tiny_model.make(tmp_path)
    given = {"base_model": str(base), "tokenizer_config": str(base)}
    config = DictDefault({**settings(), **given, "chat_template_jinja": str(TEMPLATE)})
    before, after = AutoTokenizer.from_pretrained(base), load_tokenizer(config)
    assert after.get_vocab() == before.get_vocab()
    assert after.added_tokens_decoder == before.added_tokens_decoder
    assert (after.eos_token, after.pad_token) == (before.eos_token, before.pad_token)
