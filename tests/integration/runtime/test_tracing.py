"""Traces of real servers, as a collector gets them; and nothing of it where tracing is off."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from clients import tracing
from protos.control.v1.control_pb2 import GetStateRequest, GetStateResponse
from services.runtime.tracing import start_tracing, stop_tracing
from tests.support.cli import ROOT, clean_environment, until
from tests.support.server_process import ServerProcess, server_process
from tests.support.serving import Serving
from tests.support.trace_collector import trace_collector

GET_STATE = "midstream.control.v1.ControlService/GetState"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"


def otel(monkeypatch: pytest.MonkeyPatch, endpoint: str, **more: str) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **more}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def get_state(server: ServerProcess, *metadata: tuple[str, str]) -> dict[str, str]:
    """Call; return the trailing metadata, whatever the answer is."""
    call = server.channel.unary_unary(
        f"/{GET_STATE}", GetStateRequest.SerializeToString, GetStateResponse.FromString
    ).future(GetStateRequest(session="no name"), timeout=20.0, metadata=metadata)
    call.exception()
    return {key: str(value) for key, value in call.trailing_metadata() or ()}


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def test_a_call_is_a_span_of_its_caller_s_trace_which_is_its_correlation_id(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trace_collector() as collector:
        otel(monkeypatch, collector.address, OTEL_EXPORTER_OTLP_HEADERS="x-tenant=desk")
        with server_process("control", tmp_path, REDIS_URL=redis_url, TRACING="otlp", STAGE="dev") as server:
            server.wait_health(1)
            told = get_state(server, ("traceparent", SAMPLED))
            own = get_state(server, ("traceparent", SAMPLED), ("x-correlation-id", "mine"))
            fresh = get_state(server)
            until(lambda: len(collector.named(GET_STATE)) == 3, what="spans")
            asked = urllib.request.Request(
                f"http://127.0.0.1:{server.announcement['metrics_port']}/metrics",
                headers={"accept": "application/openmetrics-text; version=1.0.0"},
            )
            with urllib.request.urlopen(asked, timeout=20) as response:
                figures = response.read().decode()

    first, second, third = collector.named(GET_STATE)
    assert (first.trace_id, first.parent_id, second.trace_id) == (TRACE, SPAN, TRACE)
    assert third.parent_id == ""
    assert (told["x-correlation-id"], own["x-correlation-id"], fresh["x-correlation-id"]) == (
        TRACE,
        "mine",
        third.trace_id,
    )
    assert first.service == "midstream-control"
    assert first.resource["deployment.environment.name"] == "dev"
    assert first.attributes["rpc.method"] == "GetState"
    assert isinstance(first.attributes["rpc.grpc.status_code"], int)
    assert collector.headers[0]["x-tenant"] == "desk"
    # Probes are asked every second, and are nobody's call.
    assert collector.named("grpc.health") == []
    refused = [line for line in lines(server) if line["event"] == "call refused"]
    assert [line["trace_id"] for line in refused] == [TRACE, TRACE, third.trace_id]
    assert f'trace_id="{third.trace_id}"' in figures or f'trace_id="{TRACE}"' in figures


def test_what_is_not_sampled_is_neither_sent_nor_an_exemplar(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trace_collector() as collector:
        otel(monkeypatch, collector.address, OTEL_TRACES_SAMPLER="parentbased_always_off")
        with server_process("control", tmp_path, REDIS_URL=redis_url, TRACING="otlp") as server:
            server.wait_health(1)
            get_state(server)
            get_state(server, ("traceparent", SAMPLED))
            get_state(server, ("traceparent", "nonsense"))

    assert [span.trace_id for span in collector.named(GET_STATE)] == [TRACE]


def test_what_is_left_at_the_end_is_sent(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with trace_collector() as collector:
        # An hour between two deliveries: only the end can bring it.
        otel(monkeypatch, collector.address, OTEL_BSP_SCHEDULE_DELAY="3600000")
        with server_process("control", tmp_path, REDIS_URL=redis_url, TRACING="otlp") as server:
            server.wait_health(1)
            get_state(server)
            assert collector.spans == []
        assert len(collector.named(GET_STATE)) == 1


@pytest.mark.parametrize("how", ["closed", "silent"])
def test_a_collector_that_is_away_costs_one_warning_and_holds_nothing(
    how: str, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if how == "closed":
            listener.close()
        otel(monkeypatch, f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_TIMEOUT="1", OTEL_BSP_MAX_QUEUE_SIZE="8",
             OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4")  # fmt: skip
        with server_process("control", tmp_path, REDIS_URL=redis_url, TRACING="otlp") as server:
            server.wait_health(1)
            for _ in range(50):
                get_state(server)
            until(
                lambda: any("not taken by the collector" in line["event"] for line in lines(server)), what="the warning"
            )
        # It has ended with 0, within the patience of every test.
    warned = [line for line in lines(server) if line["level"] != "info"]
    assert [line["event"] for line in warned] == ["traces are not taken by the collector and get lost"]


def test_without_tracing_the_library_is_not_even_imported(tmp_path: Path, redis_url: str) -> None:
    # redis-py imports the API, and the SDK of metrics where that is installed, by itself.
    program = (
        "import sys, threading, time, runpy, os, signal\n"
        "def look():\n"
        "    while not os.path.exists(os.environ['MIDSTREAM_READY_FILE']): time.sleep(0.01)\n"
        "    print([m for m in sys.modules if m.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exporter')) or 'otel_tracer' in m])\n"
        "    sys.stdout.flush(); os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=look, daemon=True).start()\n"
        "runpy.run_module('services.control', run_name='__main__')\n"
    )
    environment = {
        "MIDSTREAM_REDIS_URL": redis_url, "MIDSTREAM_CONTROL_PORT": "0", "MIDSTREAM_CONTROL_METRICS_PORT": "0",
        "MIDSTREAM_READY_FILE": str(tmp_path / "ready"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean_environment(environment), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf only (got 'grpc')"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2", "a variable of OpenTelemetry cannot be used"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    name: str, value: str, said: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    code, err = refused(redis_url)

    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_without_the_extra_it_is_refused_with_what_to_install(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name.startswith('opentelemetry.sdk') else find(name, *a)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hidden}:{ROOT}")
    code, err = refused(redis_url, PYTHONPATH=f"{hidden}:{ROOT}")

    assert (code, err) == (
        2,
        "MIDSTREAM_TRACING=otlp needs what is not installed: pip install 'midstream[tracing]', or set it to off\n",
    )


def refused(redis_url: str, **more: str) -> tuple[int, str]:
    environment = {
        "MIDSTREAM_REDIS_URL": redis_url, "MIDSTREAM_CONTROL_PORT": "0", "MIDSTREAM_CONTROL_METRICS_PORT": "0",
        "MIDSTREAM_TRACING": "otlp", **more,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "services.control"], cwd=ROOT, env=clean_environment(environment), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_switch_is_one_trace_from_the_client_to_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trace_collector() as collector:
        otel(monkeypatch, collector.address)
        start_tracing("desk", "otlp", service="desk")
        servers = Serving(
            tmp_path / "out",
            environment={"MIDSTREAM_TRACING": "otlp", "MIDSTREAM_SPEED": "1"},
            names=("replay", "control", "sim-feed"),
        )
        try:
            with servers.control() as control, tracing.span("a switch of mine"):
                control.set_mode("live")
            until(lambda: bool(collector.named("apply intent")), what="the engine's span")
            until(lambda: len(collector.named("SetMode")) == 2, what="the call's spans")
            until(lambda: bool(collector.named("a switch of mine")), what="our own span")
        finally:
            stop_tracing()
            servers.stop()

    (mine,), (applied,) = collector.named("a switch of mine"), collector.named("apply intent")
    calling = next(span for span in collector.named("SetMode") if span.service == "midstream-desk")
    called = next(span for span in collector.named("SetMode") if span.service == "midstream-control")
    assert {span.trace_id for span in (mine, calling, called, applied)} == {mine.trace_id}
    assert [calling.parent_id, called.parent_id, applied.parent_id] == [mine.span_id, calling.span_id, called.span_id]
    assert (applied.service, applied.resource["midstream.server"]) == ("midstream-replay", "replay-engine")
    assert applied.attributes["midstream.revision"] == 1
