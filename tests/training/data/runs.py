"""Records of runs, as the gateway writes them, for tests."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ANSWER = "<Analyze>\nSo it is.\n</Analyze>\n<Answer>\nNorth leads with 12.\n</Answer>"


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def turns(
    question: str = "Which region leads?",
    code: str = "print(orders.groupby('region').size())",
    output: str = "region\nNorth 12\nSouth 7\n",
    answer: str = ANSWER,
    earlier: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    return [
        *earlier,
        message("user", f"# Instruction\n{question}"),
        message("assistant", f"<Analyze>\nlook\n</Analyze>\n<Code>\n{code}\n</Code>"),
        message("execute", output),
        message("assistant", answer),
    ]


def run(run_id: str = "run-1", **fields: Any) -> dict[str, Any]:
    """A run that is good in every way; `fields` take the place of what it has."""
    question = fields.get("question", "Which region leads?")
    return {
        "format": "isobath.run/1",
        "run_id": run_id,
        "thread_id": f"thread-{run_id}",
        "model": "DeepAnalyze-8B",
        "state": "completed",
        "ended_by": "answer",
        "error_reason": "",
        "created_at": "2026-11-01T10:00:00Z",
        "ended_at": "2026-11-01T10:00:09Z",
        "question": question,
        "sources": [{"name": "sales", "type": "postgresql"}],
        "messages": turns(question),
        "cut": False,
        "usage": {"rounds": 1, "prompt_tokens": 100, "completion_tokens": 20, "seconds": 9.0},
        "feedback": [],
        **fields,
    }


def said(rating: str, correction: str = "", at: str = "2026-11-02T10:00:00Z") -> dict[str, str]:
    return {"rating": rating, "comment": "", "correction": correction, "created_at": at}


def written(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
