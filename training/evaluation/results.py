"""What came of a question, and why it is not right: values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from training.evaluation.dataset import (
    Expected,
    Number,
    Question,
    Reference,
    Rule,
    Table,
    Words,
)
from training.evaluation.scoring import Verdict, refuses

_KINDS: Mapping[str, type[Expected]] = {
    each.__name__.lower(): each for each in (Number, Words, Rule, Table, Reference)
}


@dataclass(frozen=True)
class Program:
    """One that the model wrote. `outcome` is "ok", "error", "timeout", "interrupted" or "died";
    `error` the name of what was raised."""

    round: int
    code: str
    outcome: str
    error: str = ""


@dataclass(frozen=True)
class Used:
    """What a run took. `estimated`: tokens are words."""

    rounds: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    fetched_rows: int = 0
    fetched_bytes: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Failure:
    """Why a run ended without an answer: the ErrorReason's word, and its message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Result:
    """One attempt at one question. `part`: seen, apart, several or a benchmark. `finish`: "answer",
    or the bound that ended the run."""

    part: str
    domain: str
    question: Question
    verdict: Verdict
    attempt: int = 1
    answer: str = ""
    run_id: str = ""
    finish: str = ""
    failure: Failure | None = None
    programs: tuple[Program, ...] = ()
    used: Used = Used()

    @property
    def right(self) -> bool:
        return self.verdict.right

    @property
    def failed_programs(self) -> int:
        return sum(each.outcome != "ok" for each in self.programs)

    @property
    def cause(self) -> str:
        """Of what is not right; empty where it is."""
        if self.right:
            return ""
        if self.failure is not None:
            return f"run failed: {self.failure.reason}"
        if self.finish not in ("", "answer"):
            return f"bound reached: {self.finish}"
        if not self.answer.strip():
            return "no answer"
        if self.question.refuses:
            return "answered what cannot be told"
        if refuses(self.answer):
            return "refused what can be told"
        return "missing part" if self.verdict.credit else "wrong value"


# As JSON


def encoded(result: Result) -> dict[str, Any]:
    """For a line of results.jsonl."""
    question = result.question
    expects = [{"kind": type(each).__name__.lower(), **asdict(each)} for each in question.expects]
    return {
        **asdict(result),
        "question": {**asdict(question), "expects": expects},
        "right": result.right,
        "cause": result.cause,
    }


def decoded(line: Mapping[str, Any]) -> Result:
    """Raises KeyError and TypeError where it is no line of `encoded`."""
    told = {name: line[name] for name in _names(Result)}
    return Result(
        **{
            **told,
            "question": _question(line["question"]),
            "verdict": Verdict(tuple(line["verdict"]["lacks"]), line["verdict"]["credit"]),
            "failure": Failure(**line["failure"]) if line["failure"] else None,
            "programs": tuple(Program(**each) for each in line["programs"]),
            "used": Used(**line["used"]),
        }
    )


def _question(told: Mapping[str, Any]) -> Question:
    expects = tuple(_expected(each) for each in told["expects"])
    plain = {name: told[name] for name in _names(Question)}
    return Question(**{**plain, "data": tuple(told["data"]), "expects": expects})


def _expected(told: Mapping[str, Any]) -> Expected:
    kind = _KINDS[told["kind"]]
    return kind(**{name: _frozen(told[name]) for name in _names(kind)})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


def _names(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind)]
