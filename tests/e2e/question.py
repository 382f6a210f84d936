"""The demo's question, as a request to the OpenAI surface and to gRPC."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam

QUESTION = "Which region returns the most, and is a carrier to blame?"
DATA: list[dict[str, Any]] = [
    {"source": "sales", "table": "public.orders", "limit": 200_000},
    {"source": "sales", "table": "public.refunds", "limit": 200_000},
    {"source": "sales", "table": "public.customers", "limit": 200_000},
    {"source": "lake", "path": "shipments/*.parquet"},
]
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
MODEL = "DeepAnalyze-8B"


def body(**more: Any) -> dict[str, Any]:
    """A chat request with the demo's data."""
    return {"messages": MESSAGES, "data_sources": DATA, "model": MODEL, **more}
