"""The question of `make demo`, and what a good answer to it has to hold."""

from typing import Any

from dev.samples import Facts

QUESTION = "Which region returns the most, and is a carrier to blame?"
MODEL = "DeepAnalyze-8B"
# Above the default of ten thousand rows a table in chat: the answer needs all of them.
ROWS = 200_000
DATA: tuple[dict[str, Any], ...] = (
    {"source": "sales", "table": "public.orders", "limit": ROWS},
    {"source": "sales", "table": "public.refunds", "limit": ROWS},
    {"source": "lake", "path": "shipments/*.parquet"},
)


def body() -> dict[str, Any]:
    """The request to POST /v1/chat/completions."""
    return {
        "model": MODEL,
        "stream": True,
        "messages": [{"role": "user", "content": QUESTION}],
        "data_sources": list(DATA),
    }


def lacking(answer: str, truth: Facts) -> list[str]:
    """What the data shows and the answer does not name; empty for a good answer."""
    wanted = {"the region": truth.worst_region, "the carrier": truth.late_carrier}
    return [f"{what} {name}" for what, name in wanted.items() if name not in answer]
