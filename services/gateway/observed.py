"""A run as metrics and traces see it, from its own events: nothing is counted while its tokens
pass."""

import time
from collections.abc import Awaitable, Callable

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit import tracing
from services.gateway import metrics
from services.gateway.live import ENDS, Live
from services.gateway.plan import Plan


async def observed(work: Callable[[], Awaitable[None]], live: Live, plan: Plan) -> None:
    """Does the run's work in a span of its own, and counts what came of it. What the work raises is
    passed on."""
    kind = "plain" if plan.is_plain else "agent"
    began_s = time.time()
    told = {"isobath.run.id": live.run_id, "isobath.run.kind": kind}
    if plan.thread_id:
        told["isobath.thread.id"] = plan.thread_id
    with tracing.span(f"run {kind}", attributes=told) as span:
        try:
            await work()
        finally:
            # what goes on with another gateway is counted there, and has a span of its own there
            if live.moved:
                span.tell({"isobath.run.outcome": "moved"})
            else:
                count(live, kind, began_s)
                mark(span, live)


def mark(span: tracing.Marked, live: Live) -> None:
    """What the run's last event tells."""
    last = live.steps[-1] if live.steps else analyst.Event()
    usage = _usage(last)
    span.tell(
        {
            "isobath.run.outcome": last.WhichOneof("event") or "",
            "isobath.run.rounds": usage.rounds,
            "isobath.run.fetched_rows": usage.fetched_rows,
            "isobath.run.fetched_bytes": usage.fetched_bytes,
            "isobath.run.waited_s": usage.waited.ToMilliseconds() / 1000,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
        }
    )
    if last.HasField("failed"):
        span.fail(last.failed.reason)


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
        metrics.RUN_ROUNDS.observe(_usage(last).rounds)


def _usage(last: analyst.Event) -> analyst.RunUsage:
    return next(
        (
            getattr(last, end).usage
            for end in ("completed", "failed", "cancelled")
            if last.HasField(end)
        ),
        analyst.RunUsage(),
    )


def _since(began_s: float, event: analyst.Event) -> float:
    return max(0.0, event.at.ToNanoseconds() / 1e9 - began_s)
