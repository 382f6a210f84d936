"""A random two-layer Qwen3 with the tags as special tokens, made here: nothing is downloaded.

It writes nonsense. What it can be made to write is chosen by `favour`: the output row of one token
is set to win whatever came before, so that stops can be shown to fire."""

import importlib
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


def make(folder: Path, *, favour: str = "") -> Path:
    torch, transformers = _library("torch"), _library("transformers")

    tokenizer = _tokenizer()
    torch.manual_seed(7)
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=64, max_position_embeddings=512,
        tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config)
    if favour:
        _make_win(model, tokenizer.convert_tokens_to_ids(favour))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _make_win(model, token: int) -> None:
    """Every hidden state ends as the same vector, along which this token's row is the largest."""
    with _library("torch").no_grad():
        model.model.norm.weight.zero_()
        model.lm_head.weight.zero_()
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.fill_(1.0)
        model.lm_head.weight[token].fill_(1.0)


def _tokenizer():
    fast = _library("transformers").PreTrainedTokenizerFast
    tokenizers = _library("tokenizers")
    decoders, models = tokenizers.decoders, tokenizers.models
    pre_tokenizers, trainers = tokenizers.pre_tokenizers, tokenizers.trainers

    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet
    )
    bpe.train_from_iterator(_CORPUS, trainer)
    tokenizer = fast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in SPECIAL if token[1] != "|"],
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_adapter(folder: Path, base: Path) -> Path:
    """A LoRA of rank 8 in peft's format, written by hand: peft is not in vLLM's environment."""
    import json

    torch = _library("torch")

    save_file = _library("safetensors.torch").save_file

    folder.mkdir()
    torch.manual_seed(11)
    tensors = {}
    for layer in range(2):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(8, 64)
        tensors[f"{name}.lora_B.weight"] = torch.randn(128, 8)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"],
        "bias": "none", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
