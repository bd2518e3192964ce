"""Figures about calls, under the names and words of the interceptors that other languages have, so that their dashboards fit."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf import descriptor_pool
from prometheus_client import Counter

import clients.tracing as tracing
from services.runtime.metrics import Metrics

__all__ = ["KINDS", "UNKNOWN", "CallFigures", "begin_calls", "code_word"]

KINDS: Final = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
"""By whether requests and responses stream."""

UNKNOWN: Final = ("unary", "unknown", "unknown")
"""One series for all methods that nobody has: a scanner must not create one per name that it tries."""

_WORDS: Final = {
    code: {"OK": "OK", "CANCELLED": "Canceled"}.get(code.name, code.name.title().replace("_", ""))
    for code in grpc.StatusCode
}


def code_word(code: grpc.StatusCode) -> str:
    """Return the label of a status code: `InvalidArgument`, as Go spells it."""
    return _WORDS[code]


def begin_calls(metrics: Metrics, services: Iterable[str]) -> None:
    """Let the series of every method of these services begin at 0, for every code: an alert on an increase misses the first otherwise."""
    _begin(metrics, UNKNOWN, (grpc.StatusCode.UNIMPLEMENTED,))
    pool = descriptor_pool.Default()
    for name in services:
        try:
            methods = pool.FindServiceByName(name).methods
        except KeyError:
            # Nobody has described it: its series begin with its first call.
            continue
        for method in methods:
            kind = KINDS[method.client_streaming, method.server_streaming]
            _begin(metrics, (kind, name, method.name), tuple(grpc.StatusCode))


def _begin(metrics: Metrics, labels: tuple[str, str, str], codes: Iterable[grpc.StatusCode]) -> None:
    for figure in (metrics.started, metrics.received, metrics.sent, metrics.handling):
        figure.labels(*labels)
    for code in codes:
        metrics.handled.labels(*labels, code_word(code))


class CallFigures:
    """The metrics of one method. One object serves all its calls: looking a series up by its labels costs more than counting."""

    def __init__(self, metrics: Metrics, labels: tuple[str, str, str]) -> None:
        self._metrics = metrics
        self._labels = labels
        self.received = metrics.received.labels(*labels)
        self.sent = metrics.sent.labels(*labels)
        self._started = metrics.started.labels(*labels)
        self._handling = metrics.handling.labels(*labels)
        self._handled: dict[grpc.StatusCode, Counter] = {}

    def begin(self) -> float:
        """Count a call that begins; return when that was."""
        self._started.inc()
        return time.perf_counter()

    def end(self, code: grpc.StatusCode, begun_s: float) -> None:
        """Count a call that has ended."""
        handled = self._handled.get(code)
        if handled is None:
            handled = self._handled[code] = self._metrics.handled.labels(*self._labels, code_word(code))
        handled.inc()
        self._handling.observe(time.perf_counter() - begun_s, tracing.exemplar())
