"""What becomes of spans, counted; imported only where OpenTelemetry's SDK is wanted."""

import threading
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from servicekit import logs, metrics

_log = logs.get(__name__)


class Counted(SpanExporter):
    """An exporter that never raises. `waiting` are the spans that were ended and are neither
    exported nor lost."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.waiting = 0

    def took(self) -> None:
        with self._lock:
            self.waiting += 1

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        except Exception as error:  # whatever a collector does, the service goes on
            _log.warning("spans_lost", spans=len(spans), why=type(error).__name__)
            result = SpanExportResult.FAILURE
        with self._lock:
            self.waiting -= len(spans)
        outcome = "exported" if result is SpanExportResult.SUCCESS else "failed"
        metrics.SPANS.labels(outcome).inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class Bounded(SpanProcessor):
    """In front of the SDK's own, which would drop the oldest in silence: drops the newest, and
    counts them."""

    def __init__(self, inner: SpanProcessor, counted: Counted, most: int) -> None:
        self._inner, self._counted, self._most = inner, counted, most

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if not span.context.trace_flags.sampled:
            return
        if self._counted.waiting >= self._most:
            metrics.SPANS.labels("dropped").inc()
            return
        self._counted.took()
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
