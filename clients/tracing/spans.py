"""The seam between what is traced and what traces it.

Nothing here knows a library: a process that traces installs a tracer at its start, every other process has spans that do nothing.
What is traced happens per call, never per tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Literal, Protocol

Kind = Literal["server", "client", "internal", "consumer"]
Value = str | int | float | bool


class Span(Protocol):
    """Something that takes a while."""

    def set(self, name: str, value: Value) -> None:
        """Say more about it; never a secret."""
        ...

    def fail(self, kind: str) -> None:
        """Say that it failed, and how: a code or the name of an error, no text that could hold a secret."""
        ...


class Tracer(Protocol):
    """What a process that traces installs. Safe from any thread and task."""

    def span(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Span]:
        """Return a span for a `with`; `parent` is the `traceparent` of another process, empty for what is current here."""
        ...

    def current(self) -> Span:
        """Return the span that is under way; one that does nothing outside of every span."""
        ...

    def traceparent(self) -> str:
        """Return the current span as W3C writes it; empty outside of every span."""
        ...

    def ids(self) -> tuple[str, str]:
        """Return the ids of trace and span; empty outside of every span."""
        ...

    def is_sampled(self) -> bool:
        """Tell whether the current span will be exported."""
        ...


class _Off:
    """A span that does nothing; one for all."""

    def __enter__(self) -> _Off:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def set(self, name: str, value: Value) -> None:
        return None

    def fail(self, kind: str) -> None:
        return None


OFF: Final = _Off()
_NONE: Final[Mapping[str, Value]] = {}

_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Have this process trace with `tracer`; None stops it."""
    global _tracer
    _tracer = tracer


def is_on() -> bool:
    """Tell whether this process traces: what only tracing needs is not even computed otherwise."""
    return _tracer is not None


def span(
    name: str, kind: Kind = "internal", *, parent: str = "", attributes: Mapping[str, Value] = _NONE
) -> AbstractContextManager[Span]:
    """Return a span for a `with` block, below the one that is under way or below that of a caller."""
    return OFF if _tracer is None else _tracer.span(name, kind, parent, attributes)


def annotate(name: str, value: Value) -> None:
    """Say more about the span that is under way."""
    if _tracer is not None:
        _tracer.current().set(name, value)


def traceparent() -> str:
    """Return what tells another process which span this is; empty where there is none."""
    return "" if _tracer is None else _tracer.traceparent()


def ids() -> tuple[str, str]:
    """Return the ids of trace and span; empty where there are none."""
    return ("", "") if _tracer is None else _tracer.ids()


def exemplar() -> dict[str, str] | None:
    """Return what leads from a figure to the trace of one call; None where that is not kept."""
    if _tracer is None or not _tracer.is_sampled():
        return None
    trace_id, span_id = _tracer.ids()
    return {"trace_id": trace_id, "span_id": span_id}
