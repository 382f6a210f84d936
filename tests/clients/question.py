"""A question that the embedded analyst answers from the sample data, and what its answer holds."""

import re
from typing import Any

MODEL = "DeepAnalyze-8B"
QUESTION = "How many orders are there by status?"
MESSAGES = [{"role": "user", "content": QUESTION}]
DATA: dict[str, Any] = {
    "data_sources": [{"source": "sales", "table": "public.orders", "limit": 500}]
}
WRONG_SQL: dict[str, Any] = {"data_sources": [{"source": "sales", "query": "SELECT FORM"}]}
NO_SOURCE: dict[str, Any] = {"data_sources": [{"source": "nowhere", "path": "x"}]}
_LINK = re.compile(r"\[([^\]]+)\]\((\S+/v1/files/\S+?)\)")


def require_answer(text: str) -> None:
    """The content as the model and the platform wrote it."""
    for tag in ("Analyze", "Code", "Execute", "File", "Answer"):
        assert f"<{tag}>" in text and f"</{tag}>" in text, text[-2000:]
    answer = text.split("<Answer>")[1].split("</Answer>")[0]
    assert "completed" in answer and "500" in answer


def links(text: str) -> dict[str, str]:
    """Files that a text links to, by name."""
    return dict(_LINK.findall(text))
