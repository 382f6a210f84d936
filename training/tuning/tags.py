"""The tags of the protocol as tokens."""

from typing import Any

from training.unusable import Unusable

# those that upstream adds to the vocabulary; <File> is written by the platform and none of them
TAGS = tuple(
    f"<{slash}{tag}>"
    for tag in ("Analyze", "Understand", "Code", "Execute", "Answer")
    for slash in ("", "/")
)


def split(tokenizer: Any) -> list[str]:
    """The tags that are not one token."""
    return [tag for tag in TAGS if len(tokenizer.encode(tag, add_special_tokens=False)) != 1]


def check(tokenizer: Any, model: str) -> None:
    """Raises Unusable. Tags that were added now would have random vectors, which LoRA leaves as
    they are; training them takes whole modules in the adapter, and vLLM serves no such adapter."""
    if missing := split(tokenizer):
        raise Unusable(
            f"{', '.join(missing)} are no tokens of {model}. Train from a model that knows the "
            "tags, such as RUC-DataLab/DeepAnalyze-8B; or add them to its vocabulary and train all "
            "of it, their vectors too (full fine-tuning, docs/training.md)."
        )
