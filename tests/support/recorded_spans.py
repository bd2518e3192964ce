"""A tracer that keeps what it is told, for tests that need no collector."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from clients import tracing
from clients.tracing import OFF, Span
from clients.tracing.spans import Kind, Value


@dataclass(eq=False)
class Recorded:
    """One span; `parent` is the one around it."""

    name: str
    trace: int
    parent: Recorded | None
    attributes: dict[str, Value] = field(default_factory=dict)

    def set(self, name: str, value: Value) -> None:
        self.attributes[name] = value

    def fail(self, kind: str) -> None:
        self.attributes["error.type"] = kind


class RecordingTracer:
    """Implements `clients.tracing.Tracer`; spans lie in the order in which they began."""

    def __init__(self) -> None:
        self.spans: list[Recorded] = []
        self._traces = itertools.count(1)
        self._current: ContextVar[Recorded | None] = ContextVar("recorded_span", default=None)

    def named(self, name: str) -> list[Recorded]:
        return [span for span in self.spans if span.name == name]

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> Iterator[Span]:
        around = self._current.get()
        trace = next(self._traces) if around is None else around.trace
        opened = Recorded(name, trace, around, dict(attributes))
        self.spans.append(opened)
        token = self._current.set(opened)
        try:
            yield opened
        finally:
            self._current.reset(token)

    def current(self) -> Span:
        return self._current.get() or OFF

    def traceparent(self) -> str:
        current = self._current.get()
        return "" if current is None else f"00-{current.trace:032x}-{self.spans.index(current) + 1:016x}-01"

    def ids(self) -> tuple[str, str]:
        parts = self.traceparent().split("-")
        return (parts[1], parts[2]) if len(parts) == 4 else ("", "")

    def is_sampled(self) -> bool:
        return self._current.get() is not None


@contextmanager
def recorded_spans() -> Iterator[RecordingTracer]:
    """Trace this process for a block."""
    tracer = RecordingTracer()
    tracing.install(tracer)
    try:
        yield tracer
    finally:
        tracing.install(None)
