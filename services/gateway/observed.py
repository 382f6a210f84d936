"""A run as the metrics see it, from its own events: nothing is counted while its tokens pass."""

import time
from collections.abc import Awaitable, Callable

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway import metrics
from services.gateway.live import ENDS, Live
from services.gateway.plan import Plan


async def observed(work: Callable[[], Awaitable[None]], live: Live, plan: Plan) -> None:
    """Does the run's work, and counts what came of it. What the work raises is passed on."""
    kind = "plain" if plan.is_plain else "agent"
    began_s = time.time()
    try:
        await work()
    finally:
        # what goes on with another gateway is counted there
        if not live.moved:
            count(live, kind, began_s)


def count(live: Live, kind: str, began_s: float) -> None:
    """What a run's events tell of it, once it has ended. `began_s`: since 1970."""
    if not live.steps:
        return
    last = live.steps[-1]
    outcome = last.WhichOneof("event") or ""
    if outcome not in ENDS:
        outcome = "failed"
    metrics.RUNS.labels(kind, outcome).inc()
    if last.HasField("failed"):
        metrics.RUN_FAILURES.labels(metrics.reason_label(last.failed.reason)).inc()
    metrics.RUN_SECONDS.labels(kind).observe(_since(began_s, last))
    metrics.FIRST_EVENT.labels(kind).observe(_since(began_s, live.steps[0]))
    words = next((each for each in live.steps if each.HasField("block_opened")), None)
    if words is not None:
        metrics.FIRST_WORDS.labels(kind).observe(_since(began_s, words))
    if kind == "agent":
        metrics.RUN_ROUNDS.observe(_rounds(last))


def _rounds(last: analyst.Event) -> int:
    return max(each.usage.rounds for each in (last.completed, last.failed, last.cancelled))


def _since(began_s: float, event: analyst.Event) -> float:
    return max(0.0, event.at.ToNanoseconds() / 1e9 - began_s)
