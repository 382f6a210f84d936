"""Examples to batches, and the check of what they would teach, made on the batches themselves."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.tuning import audit, masking
from training.tuning.examples import Example

Batch = dict[str, list[list[int]]]


class Collator:
    """Pads on the right: rows with `input_ids` and `labels` to tensors of (rows, longest)."""

    def __init__(self, tokenizer: Any) -> None:
        pad = tokenizer.pad_token_id
        self._pad = int(tokenizer.eos_token_id if pad is None else pad)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """For the trainer."""
        torch = importlib.import_module("torch")
        return {name: torch.tensor(values) for name, values in self.padded(rows).items()}

    def padded(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """The same as lists."""
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            "input_ids": [_padded(row["input_ids"], longest, self._pad) for row in rows],
            "labels": [_padded(row["labels"], longest, masking.IGNORED) for row in rows],
            "attention_mask": [_padded([1] * len(row["input_ids"]), longest, 0) for row in rows],
        }


def _padded(values: Sequence[int], longest: int, filler: int) -> list[int]:
    return [*values, *([filler] * (longest - len(values)))]


def rows(examples: Iterable[Example]) -> list[dict[str, list[int]]]:
    """What the trainer's data set holds."""
    return [{"input_ids": each.input_ids, "labels": each.labels} for each in examples]


def check(examples: Sequence[Example], tokenizer: Any, *, batch: int, ends: Sequence[str]) -> int:
    """Collates them all and holds the labels against what the model wrote. Returns the tokens
    that count. Raises audit.Mislabelled."""
    collator, found = Collator(tokenizer), 0

    def decode(ids: Sequence[int]) -> str:
        return str(
            tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        made = collator.padded(rows(part))
        for at, example in enumerate(part):
            ids, labels = made["input_ids"][at], made["labels"][at]
            found += audit.check(example, ids, labels, decode=decode, ends=ends)
    return found
