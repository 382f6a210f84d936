"""Which runs are good enough to learn from. Pure: rules have names, drops are counted by them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from training.data.record import Message, Record

# what a program's output ends with when it failed; as the gateway and the sandbox write it
_FAILED = re.compile(
    r"^Traceback \(most recent call last\):|"
    r"^\[(?:Timeout|Died|Error)\]: |^\[Interrupted\]$|"
    r"^(?:Syntax|Indentation|Tab)Error: ",
    re.MULTILINE,
)
_ANSWER = re.compile(r"<Answer>(.*?)(?:</Answer>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Bar:
    """What a run has to reach. `min_score` None: scores are not asked for."""

    min_score: float | None = None


Rule = Callable[[Record, Mapping[str, float], Bar], bool]


def answer(record: Record) -> str:
    """The answer of the last message, without its tags; "" where there is none."""
    last = record.messages[-1] if record.messages else Message("", "")
    found = list(_ANSWER.finditer(last.content)) if last.role == "assistant" else []
    return found[-1][1].strip() if found else ""


def corrected(record: Record) -> str:
    """The answer that a person gave in place of the run's, by the last word of feedback."""
    return record.verdict.correction.strip() if record.verdict else ""


def with_correction(record: Record) -> Record:
    """The run with its answer replaced by the correction, where there is one: the words before the
    answer stay."""
    correction = corrected(record)
    last = record.messages[-1]
    found = list(_ANSWER.finditer(last.content))
    if not correction or not found:
        return record
    begin = found[-1].start()
    kept = tuple(span for span in last.masked if span[1] <= begin)
    content = f"{last.content[:begin]}<Answer>\n{correction}\n</Answer>"
    return replace(record, messages=(*record.messages[:-1], Message(last.role, content, kept)))


def failed_last(record: Record) -> bool:
    """Whether the last program ended with an error that the answer then was given in spite of."""
    outputs = (_outputs(each) for each in reversed(record.messages[record.given :]))
    last = next((found[-1] for found in outputs if found), "")
    return failed(last)


def failed(output: str) -> bool:
    """Whether what a program printed ends with an error that it did not catch."""
    return _FAILED.search(output) is not None


def _outputs(message: Message) -> list[str]:
    """What programs printed, in the platform's messages or in its spans."""
    if message.role == "execute":
        return [message.content]
    spans = (message.content[start:end] for start, end in message.masked)
    return [
        span.removeprefix("<Execute>").lstrip() for span in spans if span.startswith("<Execute>")
    ]


def _scored_below(record: Record, scores: Mapping[str, float], bar: Bar) -> bool:
    return bar.min_score is not None and scores.get(record.run_id, 0.0) < bar.min_score


def _down(record: Record, scores: Mapping[str, float], bar: Bar) -> bool:
    return record.verdict is not None and record.verdict.rating == "down" and not corrected(record)


def _no_turn(record: Record, scores: Mapping[str, float], bar: Bar) -> bool:
    return not any(each.role == "assistant" for each in record.messages[record.given :])


# what makes a run useless even as the worse one of a pair
BROKEN: Mapping[str, Rule] = {
    "not completed": lambda record, scores, bar: record.state != "completed",
    "not ended by an answer": lambda record, scores, bar: record.ended_by != "answer",
    "cut to the context": lambda record, scores, bar: record.cut,
    "nothing written by the model": _no_turn,
    "no answer": lambda record, scores, bar: not answer(record),
}
# what makes it a bad example
POOR: Mapping[str, Rule] = {
    "last program failed": lambda record, scores, bar: failed_last(record),
    "feedback down": _down,
    "score too low": _scored_below,
}


def cause(rules: Mapping[str, Rule], record: Record, scores: Mapping[str, float], bar: Bar) -> str:
    """The name of the first rule that the run breaks; "" = none."""
    return next((name for name, broken in rules.items() if broken(record, scores, bar)), "")
