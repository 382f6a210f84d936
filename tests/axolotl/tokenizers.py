"""Tokenizers made here, of the shapes that matter for masks."""

import importlib

from tests.axolotl.files import TEMPLATE
from tests.inference import tiny_model

# of Qwen3's tokenizer.json: line breaks that follow one another become one token
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEXT = "\n\ncount the orders.\n\n by region\n  and month\n\n\nprint(x)\n    pass\n"


def byte_level():
    """That of tests/inference."""
    return tiny_model.byte_tokenizer(TEMPLATE.read_text())


def qwen_like():
    """It splits text by Qwen3's expression, and has learned tokens of several line breaks."""
    made = importlib.import_module("tokenizers")
    before = made.pre_tokenizers
    bpe = made.Tokenizer(made.models.BPE())
    bpe.pre_tokenizer = before.Sequence(
        [
            before.Split(made.Regex(_QWEN), "isolated"),
            before.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = made.decoders.ByteLevel()
    trainer = made.trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=list(tiny_model.SPECIAL),
        initial_alphabet=before.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator([_TEXT] * 50, trainer)
    tokenizer = importlib.import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[each for each in tiny_model.SPECIAL if each[1] != "|"],
    )
    tokenizer.chat_template = TEMPLATE.read_text()
    return tokenizer
