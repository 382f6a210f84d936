"""A tokenizer that is learned from the conversations that are trained on."""

import importlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from training.data.conversation import Conversation
from training.tuning.tags import TAGS
from training.tuning.template import OWN

PAD, BEGIN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, BEGIN, END, *TAGS, "<File>", "</File>")
# lines that so many of the conversations have, and that are so long, are tokens of their own
_COMMON = 0.5
_LONG = 12


def phrases(conversations: Sequence[Conversation]) -> list[str]:
    """Lines that the model writes again and again, with their ends; most common first. Pure."""
    found = Counter[str]()
    for each in conversations:
        found.update({line for line in _lines(each) if len(line) > _LONG and _untagged(line)})
    least = _COMMON * len(conversations)
    return [line for line, count in found.most_common() if count >= least]


def _lines(conversation: Conversation) -> Iterable[str]:
    for message in conversation.turns:
        if message.train:
            yield from message.content.splitlines(keepends=True)


def _untagged(line: str) -> bool:
    return not any(token in line for token in SPECIAL)


def learned(conversations: Sequence[Conversation], size: int) -> Any:
    """Bytes, pairs of them up to `size`, the tags, and the phrases beyond that; as a tokenizer of
    transformers, with our chat template."""
    tokenizers = importlib.import_module("tokenizers")
    fast = importlib.import_module("transformers").PreTrainedTokenizerFast
    pre_tokenizers, decoders = tokenizers.pre_tokenizers, tokenizers.decoders
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    common = phrases(conversations)
    made.train_from_iterator(_without(conversations, set(common)), trainer)
    kept = [tokenizers.AddedToken(line, normalized=False, special=False) for line in common]
    made.add_tokens(kept)
    tokenizer = fast(
        tokenizer_object=made,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[*TAGS, "<File>", "</File>"],
    )
    tokenizer.chat_template = OWN.read_text()
    return tokenizer


def _without(conversations: Sequence[Conversation], common: set[str]) -> Iterable[str]:
    """What is not said by a phrase."""
    for each in conversations:
        for message in each.turns:
            lines = message.content.splitlines(keepends=True)
            yield "".join(line for line in lines if line not in common)
