"""The report as Markdown, with every answer: pure."""

from collections.abc import Sequence

from training.evaluation.results import Result
from training.evaluation.summary import by_question, causes_listed, scores, spread_told, table


def written(title: str, results: Sequence[Result]) -> str:
    """The figures, the causes, and each question with its answers."""
    questions = by_question(results)
    found = scores(results)
    attempts = max((len(each) for each in questions.values()), default=0)
    parts = [f"# {title}", table(found), spread_told(found[-1], attempts), causes_listed(results)]
    for name, answers in questions.items():
        question = answers[0].question
        parts.append(f"## {name}: {question.headline}")
        if rest := question.text.partition("\n\n")[2]:
            parts.append(rest)
        parts += [part for each in answers for part in _attempt(each, attempts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _attempt(result: Result, attempts: int) -> list[str]:
    number = f"attempt {result.attempt}: " if attempts > 1 else ""
    lacks = "; ".join(result.verdict.lacks)
    told = "right" if result.right else f"{result.cause}; lacks {lacks}"
    failure = f" {result.failure.message}" if result.failure else ""
    return [
        f"*{number}{told}*{failure}",
        "\n".join(f"> {line}".rstrip() for line in result.answer.splitlines()),
    ]
