"""The next turns of recorded conversations, by two models or more: where they part. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from training.data.conversation import Conversation, Turn

# of what follows where they part, in the report
_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Asked:
    """One recorded turn of a model: what came before it, and what it said then. `number` counts
    the model's turns of the conversation from 1."""

    conversation: str
    number: int
    before: Sequence[Turn]
    recorded: str


@dataclass(frozen=True)
class Said:
    """By one model. `seconds` is from the request to its end."""

    text: str
    tokens: int
    seconds: float
    # why there is no text, where there is none
    failed: str = ""


@dataclass(frozen=True)
class Compared:
    asked: Asked
    said: Mapping[str, Said] = field(default_factory=dict)


def turns(conversation: Conversation) -> Iterator[Asked]:
    """Each turn that counts for the loss, with all that came before it."""
    number = 0
    for at, turn in enumerate(conversation.turns):
        if turn.train:
            number += 1
            yield Asked(conversation.id, number, conversation.turns[:at], turn.content)


def parts_at(one: str, other: str) -> int | None:
    """The first character in which they differ; None where they are equal. What surrounds them
    counts for nothing: recorded turns were stripped."""
    one, other = one.strip(), other.strip()
    if one == other:
        return None
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(frozen=True)
class Totals:
    """Of one model over all turns that it answered. Characters and tokens are means for a turn."""

    turns: int
    failed: int
    as_recorded: int
    as_first: int
    characters: float
    tokens: float
    tokens_per_second: float

    @property
    def recorded_share(self) -> float:
        return self.as_recorded / self.turns if self.turns else 0.0


def totals(compared: Sequence[Compared], model: str, first: str) -> Totals:
    """`first` is the model that the others are held against."""
    said = [(each, each.said[model]) for each in compared if not each.said[model].failed]
    tokens = sum(found.tokens for _, found in said)
    seconds = sum(found.seconds for _, found in said)
    count = max(1, len(said))
    return Totals(
        turns=len(said),
        failed=len(compared) - len(said),
        as_recorded=sum(parts_at(found.text, each.asked.recorded) is None for each, found in said),
        as_first=sum(
            not each.said[first].failed and parts_at(found.text, each.said[first].text) is None
            for each, found in said
        ),
        characters=sum(len(found.text) for _, found in said) / count,
        tokens=tokens / count,
        tokens_per_second=tokens / seconds if seconds else 0.0,
    )


def report(compared: Sequence[Compared], models: Sequence[str]) -> dict[str, object]:
    """As JSON."""
    return {
        "format": "isobath.compare/1",
        "models": {
            model: vars(totals(compared, model, models[0])) | {"first": model == models[0]}
            for model in models
        },
        "turns": [
            {
                "conversation": each.asked.conversation,
                "turn": each.asked.number,
                "recorded": each.asked.recorded,
                "said": {
                    model: vars(said) | {"parts_from_recorded_at": _apart(said, each)}
                    for model, said in each.said.items()
                },
            }
            for each in compared
        ],
    }


def _apart(said: Said, each: Compared) -> int | None:
    return None if said.failed else parts_at(said.text, each.asked.recorded)


def markdown(compared: Sequence[Compared], models: Sequence[str]) -> str:
    """Totals, then each turn in which some model parts from the first."""
    lines = [
        f"# {' and '.join(models)}",
        "",
        f"{len(compared)} turns, greedy. Speeds are of one turn at a time, others beside it.",
        "",
        f"| model | as recorded | as {_cell(models[0])} | chars | tokens | tokens/s | failed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model in models:
        told = totals(compared, model, models[0])
        same = f"{told.as_first} of {told.turns}" if model != models[0] else ""
        lines.append(
            f"| {_cell(model)} | {told.as_recorded} of {told.turns}, {told.recorded_share:.0%} | "
            f"{same} | {told.characters:.0f} | {told.tokens:.0f} | {told.tokens_per_second:.1f} | "
            f"{told.failed} |"
        )
    lines += ["", "## Where they part", ""]
    return "\n".join([*lines, *_partings(compared, models)]) + "\n"


def _partings(compared: Sequence[Compared], models: Sequence[str]) -> Iterator[str]:
    yield f"| turn | model | at | {_cell(models[0])} | the other |"
    yield "| --- | --- | --- | --- | --- |"
    for each in compared:
        first = each.said[models[0]]
        for model in models[1:]:
            other = each.said[model]
            name = f"{_cell(each.asked.conversation)} · {each.asked.number}"
            if first.failed or other.failed:
                why = _cell(other.failed or first.failed)
                yield f"| {name} | {_cell(model)} | | {why} | |"
            elif (at := parts_at(first.text, other.text)) is not None:
                shown = (
                    _cell(text.strip()[at:][:_SHOWN_CHARS]) for text in (first.text, other.text)
                )
                yield f"| {name} | {_cell(model)} | {at} | {' | '.join(shown)} |"


def _shown(text: str, at: int) -> str:
    return _cell(text.strip()[at : at + _SHOWN_CHARS])


def _cell(text: str) -> str:
    """One line that breaks no table, and whose tags are text."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return text.replace("`", "&#96;").replace("\r", "").replace("\n", " ⏎ ")
