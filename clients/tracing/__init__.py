"""Spans, for whoever has something to say about a call; without a tracer they cost nothing."""

from clients.tracing.spans import (
    OFF,
    Span,
    Tracer,
    annotate,
    exemplar,
    ids,
    install,
    is_on,
    span,
    traceparent,
)

__all__ = ["OFF", "Span", "Tracer", "annotate", "exemplar", "ids", "install", "is_on", "span", "traceparent"]
