"""Spans as OpenTelemetry has them. Imported only by a process that traces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clients.tracing import Span
from clients.tracing.spans import Kind, Value
from services.runtime.version import version

logger = logging.getLogger(__name__)

_KINDS: Final = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
    "consumer": trace.SpanKind.CONSUMER,
}
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def open_tracer(server: str, *, service: str, stage: str) -> tuple[OtelTracer, Callable[[], None]]:
    """Return a tracer and what ends it, which sends what is left. Raises ValueError for variables that cannot be used.

    Spans wait in a bounded queue; what does not fit is dropped, so that a collector that is away slows nothing.
    """
    # It repeats itself for as long as a collector is away; `_Saying` says it once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    known = {"service.name": f"midstream-{service}", "service.version": version(), "midstream.server": server}
    if stage:
        known["deployment.environment.name"] = stage
    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts more than what we know.
    resource = Resource(known).merge(Resource.create())
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": f"midstream-{service}"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Saying(OTLPSpanExporter())))
    return OtelTracer(provider.get_tracer("midstream", version())), provider.shutdown


class OtelTracer:
    """Implements `clients.tracing.Tracer`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> Iterator[Span]:
        context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=dict(attributes),
            # Texts of errors may hold what is nobody's business.
            record_exception=False,
            set_status_on_exception=False,
        ) as opened:
            span = _OtelSpan(opened)
            try:
                yield span
            except BaseException as exc:
                span.fail(type(exc).__name__)
                raise

    def current(self) -> Span:
        return _OtelSpan(trace.get_current_span())

    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    def ids(self) -> tuple[str, str]:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return "", ""
        return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)

    def is_sampled(self) -> bool:
        return bool(trace.get_current_span().get_span_context().trace_flags.sampled)


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)


class _Saying(SpanExporter):  # type: ignore[misc]  # the extra is not there for every check
    """Says once that a collector does not take spans, and once that it does again."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        except Exception:  # noqa: BLE001  whatever the library raises: traces are never worth a server
            result = SpanExportResult.FAILURE
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            logger.warning("traces are not taken by the collector and get lost")
        elif self._failing and not failed:
            logger.info("traces are taken by the collector again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))
