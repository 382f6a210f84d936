"""A random two-layer Qwen3 with the tags as special tokens, made here: nothing is downloaded.

It writes nonsense, unless `chain` tells what follows what: then each token of the chain leads to the
next, whatever else was said, and it begins behind the last token of any prompt. To be trained, it
learns its vocabulary from `texts`, so that their tokens are as long as those of a real one."""

import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TAGS = ("Analyze", "Understand", "Code", "Execute", "File", "Answer")
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    *(f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")),
)  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS = ["count the orders by region and month", "print(table.groupby('region').sum())"] * 50


def _library(name: str) -> Any:
    """Of vLLM's environment; the checker's has none of them."""
    return importlib.import_module(name)


# with which the template ends a prompt
PROMPT_END = "\n"


def make(
    folder: Path,
    *,
    chain: tuple[str, ...] = (),
    template: str = TEMPLATE,
    texts: Sequence[str] = _CORPUS,
    vocabulary: int = 400,
    width: int = 64,
    context: int = 2048,
    decided: bool = False,
) -> Path:
    """`width` is a multiple of 64, the size of a head that vLLM's attention on CPU takes. `decided`: the frozen
    halves of it allow of sure answers, so that an adapter can learn texts by heart."""
    torch, transformers = _library("torch"), _library("transformers")

    tokenizer = byte_tokenizer(template, texts, vocabulary)
    torch.manual_seed(7)
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=64, max_position_embeddings=context,
        tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config)
    if decided:
        _decide(model)
    if chain:
        _lead(model, [_only_token(tokenizer, text) for text in (PROMPT_END, *chain)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _only_token(tokenizer, text: str) -> int:
    (token,) = tokenizer.encode(text, add_special_tokens=False)
    return int(token)


def _decide(model) -> None:
    """As they are made, vectors have a length of 0.02 × √width: whatever the layers do, no token gets
    much more than its share."""
    with _library("torch").no_grad():
        model.lm_head.weight.mul_(25)
        model.model.embed_tokens.weight.mul_(50)


def _lead(model, tokens: list[int]) -> None:
    """The layers add nothing, so that the last state is the last token's embedding, which has a
    direction of its own; along it the row of the next token is the largest."""
    with _library("torch").no_grad():
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.fill_(0.1)
        model.lm_head.weight.zero_()
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        for place, (token, following) in enumerate(itertools.pairwise(tokens)):
            model.model.embed_tokens.weight[token].zero_()
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[following, place] = 1.0


def byte_tokenizer(template: str, texts: Sequence[str] = _CORPUS, vocabulary: int = 400):
    fast = _library("transformers").PreTrainedTokenizerFast
    tokenizers = _library("tokenizers")
    decoders, models = tokenizers.decoders, tokenizers.models
    pre_tokenizers, trainers = tokenizers.pre_tokenizers, tokenizers.trainers

    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = fast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL if token[1] != "|"],
    )  # fmt: skip
    tokenizer.chat_template = template
    return tokenizer


def make_adapter(folder: Path, base: Path, *, rank: int = 8, seed: int = 11) -> Path:
    """A LoRA adapter as peft makes and saves it, with random weights in both of its halves."""
    torch, peft, transformers = _library("torch"), _library("peft"), _library("transformers")
    model = transformers.Qwen3ForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"],
        init_lora_weights=False, task_type="CAUSAL_LM",
    )  # fmt: skip
    made = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_" in name:
                weight.normal_()
    made.save_pretrained(folder)
    return folder
