"""Results for tests."""

from dataclasses import replace

from training.evaluation.dataset import Expected, Question
from training.evaluation.results import Failure, Program, Result, Used
from training.evaluation.scoring import Given, judged


def asks(*expects: Expected, refuses: bool = False, id: str = "q") -> Question:
    return Question(id, f"What is {id}?", ("lake:x.csv",), expects, refuses)


def result(question: Question, answer: str, **others: object) -> Result:
    """Of a run that went well, but for what `others` say."""
    plain = Result(
        part="seen",
        domain="shop",
        question=question,
        verdict=judged(question, Given(answer)),
        answer=answer,
        run_id=f"run-{question.id}",
        finish="answer",
        programs=(Program(1, "print(1)", "ok"), Program(2, "x", "error", "NameError")),
        used=Used(2, 900, 100, False, 40, 4000, 1.5),
    )
    return replace(plain, **others)  # type: ignore[arg-type]


def failed(question: Question) -> Result:
    failure = Failure("MODEL_UNAVAILABLE", "The model is gone.")
    return result(question, "", failure=failure, finish="", programs=())
