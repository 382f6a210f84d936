"""The card of a data set: `README.md` in the form that the Hugging Face Hub reads. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.data.split import Shares
from training.data.statistics import Statistics

# the Hub's names of sizes, each up to its bound
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
_WHAT = {
    "messages": "every mask, by message and by span; what `training.lora` reads",
    "trl": "prompt and completion, for TRL's `SFTTrainer` with `assistant_only_loss`",
    "trl-dpo": "prompt, chosen and rejected, for TRL's `DPOTrainer`",
    "unsloth": "conversations, for Unsloth",
    "axolotl": "messages with `train` and `train_detail`, for Axolotl's `chat_template`",
    "ms-swift": "messages with `loss`, for ms-swift",
}


@dataclass(frozen=True)
class Made:
    """How the data set was made. `files` are (format, split)."""

    files: Sequence[tuple[str, str]]
    licence: str
    seed: int
    shares: Shares
    near: float


def card(statistics: Statistics, made: Made) -> str:
    """The text of the card: front matter, then what is in it and how it came about."""
    return "\n".join((*_front(statistics, made), *_body(statistics, made))) + "\n"


def _front(statistics: Statistics, made: Made) -> list[str]:
    formats = dict.fromkeys(name for name, _ in made.files)
    lines = ["---", f"license: {made.licence}" if made.licence else "license: unknown"]
    lines += ["task_categories:", "- text-generation", "tags:", "- data-analysis", "- isobath"]
    lines += ["size_categories:", f"- {_size(statistics.written)}", "configs:"]
    for at, name in enumerate(formats):
        lines += [f"- config_name: {name}", *(["  default: true"] if at == 0 else [])]
        lines.append("  data_files:")
        for each, split in made.files:
            if each == name:
                lines += [f"  - split: {split}", f"    path: {name}/{split}.jsonl"]
    return [*lines, "---"]


def _size(count: int) -> str:
    return next((name for bound, name in _SIZES if count < bound), "n>1M")


def _body(statistics: Statistics, made: Made) -> list[str]:
    lines = ["# Conversations of data analysis", ""]
    lines += [
        f"{statistics.written} conversations and {statistics.pairs} preference pairs, made by "
        f"Isobath from {statistics.read} records of runs.",
        "",
    ]
    if not made.licence:
        lines += ["**No licence is set**: say one (`--licence`) before this is passed on.", ""]
    lines += [f"- {each}" for each in statistics.told]
    lines += ["", "## Splits", "", *_splits(statistics), ""]
    lines += [
        "A group are runs that share sources. No source, table or thread is in two splits.",
        "",
        "## Formats",
        "",
    ]
    formats = dict.fromkeys(name for name, _ in made.files)
    lines += [f"- `{name}`: {_WHAT[name]}" for name in formats]
    lines += _counted("Left out of a format that cannot tell its mask", statistics.left_out)
    lines += _counted("Dropped", statistics.dropped)
    lines += _counted("Replaced", statistics.scrubbed)
    lines += ["", *_how(statistics, made)]
    return lines


def _splits(statistics: Statistics) -> list[str]:
    heads = (
        "split",
        "conversations",
        "groups",
        "programs",
        "tokens",
        "trained",
        "longest",
        "pairs",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for name, each in statistics.splits.items():
        cells = (
            name,
            each.conversations,
            len(each.groups),
            each.programs,
            each.tokens,
            each.trained_tokens,
            each.longest_tokens,
            each.pairs.total(),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _counted(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    return ["", f"## {title}", "", *(f"- {name}: {counts[name]}" for name in sorted(counts))]


def _how(statistics: Statistics, made: Made) -> list[str]:
    shares = ", ".join(f"{name} {share:g}" for name, share in made.shares.of.items() if share)
    return [
        "## How it was made",
        "",
        "Runs that were completed by an answer, and whose last program did not fail; those that "
        "people disliked only with the answer corrected. Messages are exactly what the model saw "
        "and wrote; the loss counts what it wrote.",
        "",
        f"- lines that could not be read: {statistics.bad_lines}",
        f"- conversations in which something was replaced: {statistics.scrubbed_runs}. Rules find "
        "credentials, addresses and numbers; they do not find the names of people",
        f"- runs are doubles from a Jaccard similarity of {made.near:g} of question and programs",
        f"- split by groups of sources: {shares}; seed {made.seed}",
    ]
