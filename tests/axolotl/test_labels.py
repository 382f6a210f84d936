"""The tokens and labels that Axolotl makes of our rows are ours: what the model wrote, and no more."""

import random

import pytest
from axolotl.prompt_strategies.chat_template import load
from axolotl.utils.config import normalize_cfg_datasets
from axolotl.utils.dict import DictDefault

from tests.axolotl import tokenizers
from tests.axolotl.files import TEMPLATE, settings
from tests.axolotl.rows import IGNORED, expected, message, written

pytestmark = [pytest.mark.axolotl, pytest.mark.req("T2", "T3")]

USER = message("user", "# Instruction\ncount the orders")
CODE = written("<Analyze>\nlook\n</Analyze>\n<Code>\n```python\nprint(1)\n```\n</Code>")
RESULT = message("execute", "1\n")
ANSWER = written("<Answer>\nIt is 1.\n</Answer>")
INLINE = "<Code>\nprint(1)\n</Code>\n<Execute>\n1\n\n</Execute>\n<Answer>\nso\n</Answer>"
CASES = {
    "turns": [USER, CODE, RESULT, ANSWER],
    "system": [message("system", "be brief"), USER, CODE, RESULT, ANSWER],
    "an earlier answer": [USER, message("assistant", "<Answer>1</Answer>"), USER, ANSWER],
    "a first and no last": [USER, ANSWER, USER, message("assistant", "<Answer>1</Answer>")],
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
    "the same text by others": [message("user", "count"), written("count"), message("execute", "count")],
    "no output": [USER, CODE, message("execute", ""), ANSWER],
    "blanks at the end": [USER, written("<Answer>1</Answer> \n\n"), USER, ANSWER],
    "blanks of others": [message("user", "\n\n a \n"), CODE, message("execute", "\n\n\n"), ANSWER],
}


@pytest.fixture(scope="module", params=["byte_level", "qwen_like"])
def tokenizer(request):
    return getattr(tokenizers, request.param)()


@pytest.fixture(scope="module")
def strategy(tokenizer):
    return loaded(tokenizer)


def loaded(tokenizer):
    config = DictDefault({**settings(), "chat_template_jinja": str(TEMPLATE)})
    normalize_cfg_datasets(config)
    return load(tokenizer, config, config.datasets[0].to_dict())


def made(strategy, messages):
    found = strategy.tokenize_prompt({"messages": messages})
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
    assert counted == "<|im_end|>".join(
        [CODE["content"], ANSWER["content"], before + behind, ""]
    )


PIECES = ("\n", "\n\n", " ", "  ", "\t", "\r\n", "count", "the orders.", "é", "😀", "你", "1", "x",
          "print(x)", "<Code>", "</Code>", "<Answer>", "</Answer>")  # fmt: skip


def pieces(chance, most):
    return "".join(chance.choices(PIECES, k=chance.randint(0, most)))


def anything(chance):
    """What a model may have written, with masked blocks; no line break at its start (see below)."""
    content, masked = "x" * chance.randint(0, 1), []
    for tag in chance.choices(("Execute", "File", ""), k=chance.randint(1, 4)):
        content += pieces(chance, 5)
        block = f"<{tag}>{pieces(chance, 5)}</{tag}>" if tag else ""
        masked += [(len(content), len(content) + len(block))] if tag else []
        content += block
    if not content or content[0].isspace():
        return message("assistant", "x")
    return message("assistant", content, train=True, masked=masked)


@pytest.mark.parametrize("seed", range(10))
def test_labels_are_ours_whatever_was_written(strategy, tokenizer, seed):
    chance = random.Random(seed)
    for _ in range(40):
        others = [message(role, pieces(chance, 4)) for role in ("execute", "user")]
        messages = [USER, anything(chance), *others, anything(chance)]
        assert made(strategy, messages) == expected(tokenizer, messages), messages


def test_line_breaks_at_the_start_shift_the_masks():
    """Axolotl's fault, for which the data builder strips them: it tokenises the content alone to place
    the masks, and there they are other tokens than behind the line break of the role. When this
    fails, the builder may stop."""
    tokenizer = tokenizers.qwen_like()
    block = "<Execute>1</Execute>"
    messages = [USER, written(f"\n\n\n你{block}ok.", block)]
    found, ours = (labels for _, labels in (made(loaded(tokenizer), messages), expected(tokenizer, messages)))
    trained = {tokenizer.decode([one]) for one, other in zip(found, ours, strict=True) if other == IGNORED != one}
    assert "</Execute>" in trained


def test_a_tokenizer_without_the_end_of_a_turn_is_refused():
    tokenizer = tokenizers.byte_level()
    tokenizer.backend_tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.eos_token = "<|end|>"
    config = DictDefault({**settings(), "chat_template_jinja": str(TEMPLATE), "eot_tokens": ["<|ende|>"]})
    template = TEMPLATE.read_text().replace("<|im_end|>", "<|ende|>")
    with pytest.raises(ValueError, match="encoded as multiple tokens"):
        load(tokenizer, config, {**config.datasets[0].to_dict(), "chat_template_jinja": template, "chat_template": "jinja"})
