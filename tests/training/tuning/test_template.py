"""What is trained on is what the platform sends, turn by turn, token by token."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from services.inference.engines.chat import chat
from services.inference.models import Message as Sent
from services.inference.models import Role
from tests.training.tuning import samples
from training.data.conversation import parsed
from training.tuning import collating, tags, template
from training.tuning.examples import Maker
from training.tuning.masking import IGNORED
from training.tuning.template import TemplateDiffers
from training.unusable import Unusable

pytestmark = [pytest.mark.req("T1"), pytest.mark.training]

# as Qwen3's own does with the last answer
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMING = THINKING.replace("<think>\n\n</think>\n\n", "").replace("m.content", "m.content | trim")
WITHOUT_EXECUTE = (
    "{% for m in messages if m.role != 'execute' %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# as DeepSeek's: the head stands behind the question, whether asked for or not
HEAD_BEHIND = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}<|im_end|>"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_start|>assistant\n{% endif %}{% endfor %}"
)


@pytest.fixture
def tokenizer(base: Any) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(base)


@pytest.mark.parametrize("source", [None, WITHOUT_EXECUTE, HEAD_BEHIND])
def test_each_turn_begins_behind_the_tokens_that_the_inference_service_sends(
    tokenizer, conversations, source
):
    if source:
        tokenizer.chat_template = source
    spoken = chat(tokenizer, "native")
    maker = Maker(tokenizer, template.chosen(tokenizer, "model"), 4096, "drop")
    turns = 0
    for given in conversations:
        conversation = parsed(given)
        example = maker.example(conversation)
        assert not example.straddling
        for at, message in enumerate(conversation.turns):
            if not message.train:
                continue
            sent = [Sent(Role(m.role), m.content) for m in conversation.turns[:at]]
            prompt = spoken.tokens(sent)
            wrote = tokenizer.encode(message.content + "<|im_end|>", add_special_tokens=False)
            end = len(prompt) + len(wrote)
            assert example.input_ids[: len(prompt)] == prompt
            assert example.input_ids[len(prompt) : end] == wrote
            assert example.labels[len(prompt) : end] == wrote
            assert example.labels[len(prompt) - 1] == IGNORED
            turns += 1
        assert example.trained == sum(
            len(tokenizer.encode(m.content + "<|im_end|>", add_special_tokens=False))
            for m in conversation.turns if m.train
        )  # fmt: skip
    assert turns == 2 * len(conversations)


def test_spans_of_the_platform_within_a_turn_do_not_count(tokenizer):
    content = (
        "<Analyze>\nhow\n</Analyze>\n<Execute>\n7 rows\n</Execute>\n<Answer>\nseven\n</Answer>"
    )
    masked = [content.index("<Execute>"), content.index("<Answer>")]
    given = {
        "id": "a",
        "messages": [
            {"role": "user", "content": "count"},
            {"role": "assistant", "content": content, "train": True, "masked": [masked]},
        ],
    }
    made = template.chosen(tokenizer, "own")
    example = Maker(tokenizer, made, 4096, "drop").example(parsed(given))
    counted = [label for label in example.labels if label != IGNORED]
    assert tokenizer.decode(counted) == content[: masked[0]] + content[masked[1] :] + "<|im_end|>"
    assert collating.check([example], tokenizer, batch=1, ends=made.ends) == example.trained


@pytest.mark.parametrize(
    ("source", "told"),
    [(THINKING, "<think>"), (TRIMMING, "what the model wrote is"), (None, "no chat template")],
)
def test_template_that_changes_what_was_said_is_refused_with_the_way_out(tokenizer, source, told):
    tokenizer.chat_template = source
    given = samples.conversation(0, rounds=1)
    given["messages"][1]["content"] += "\n"
    with pytest.raises(Unusable, match=told) as refused:
        template.chosen(tokenizer, "model").layout(parsed(given))
    assert "--template own" in str(refused.value)
    assert isinstance(refused.value, TemplateDiffers) is (source is not None)
    assert template.chosen(tokenizer, "own").layout(parsed(given)).counted


def test_generation_marks_of_the_template_agree_with_the_labels(tokenizer, conversations):
    """Axolotl and TRL by themselves would go by those."""
    made = template.chosen(tokenizer, "own")
    for given in conversations:
        example = Maker(tokenizer, made, 4096, "drop").example(parsed(given))
        marked = tokenizer.apply_chat_template(
            given["messages"], return_dict=True, return_assistant_tokens_mask=True
        )["assistant_masks"][: len(example.labels)]
        assert marked == [int(label != IGNORED) for label in example.labels]


def test_long_conversation_is_left_out_or_loses_its_last_turns(tokenizer, conversations):
    made, whole = template.chosen(tokenizer, "own"), parsed(conversations[0])
    full = Maker(tokenizer, made, 4096, "drop").example(whole)
    room = len(full.input_ids) - 1
    with pytest.raises(Unusable, match="1 conversations are longer"):
        Maker(tokenizer, made, room, "drop").made([whole])
    found = Maker(tokenizer, made, room, "shorten").made([whole])
    (example,) = found.examples
    assert found.shortened == ["run-0"]
    assert example.input_ids == full.input_ids[: len(example.input_ids)]
    assert tokenizer.decode(example.input_ids).endswith("</Code><|im_end|>")
    silent = replace(whole, turns=tuple(replace(m, train=False) for m in whole.turns))
    assert Maker(tokenizer, made, 4096, "drop").made([whole, silent]).silent == ["run-0"]


def test_tags_that_are_no_tokens_are_named(tokenizer):
    tags.check(tokenizer, "tiny")
    plain = SimpleNamespace(encode=lambda text, add_special_tokens: [1] * (1 + (text == "</Code>")))
    with pytest.raises(Unusable, match=r"^</Code> are no tokens of some-model\."):
        tags.check(plain, "some-model")
