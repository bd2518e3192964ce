"""Figures about calls: the words of other languages' interceptors, and series that are there before the first call."""

from __future__ import annotations

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.call_figures import CallFigures, begin_calls, code_word
from services.runtime.health import HEALTH_SERVICE
from services.runtime.metrics import Metrics

GO_WORDS = {
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
    "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss",
    "Unauthenticated",
}  # fmt: skip


def test_codes_are_spelt_as_dashboards_expect_them() -> None:
    assert {code_word(code) for code in grpc.StatusCode} == GO_WORDS


@pytest.mark.parametrize(("kind", "method"), [("unary", "Check"), ("unary", "List"), ("server_stream", "Watch")])
def test_every_method_has_its_series_before_its_first_call(kind: str, method: str) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    labels = {"grpc_type": kind, "grpc_service": HEALTH_SERVICE, "grpc_method": method}

    begin_calls(metrics, [HEALTH_SERVICE, "not.described.Service"])

    for name in ("started_total", "msg_received_total", "msg_sent_total", "handling_seconds_count"):
        assert registry.get_sample_value(f"grpc_server_{name}", labels) == 0
    for word in GO_WORDS:
        assert registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": word}) == 0
    before = {name: count(registry, name) for name in ("grpc_server_handled_total", "grpc_server_started_total")}
    figures = CallFigures(metrics, (kind, HEALTH_SERVICE, method))
    figures.end(grpc.StatusCode.INTERNAL, figures.begin())
    assert registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": "Internal"}) == 1
    assert {name: count(registry, name) for name in before} == before


def count(registry: CollectorRegistry, name: str) -> int:
    return sum(sample.name == name for metric in registry.collect() for sample in metric.samples)
