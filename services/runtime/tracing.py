"""Begin and end tracing in a process. The library is an extra, and not even imported where tracing is off."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Final

import clients.tracing as tracing
from services.runtime.errors import StartRefused

__all__ = ["FLUSH_S", "OFF", "start_tracing", "stop_tracing"]

OFF: Final = "off"
FLUSH_S: Final = 2.0
"""What is left at the end is sent within this time or lost; a collector that is away must not hold a server."""

_PROTOCOLS: Final = ("", "http/protobuf")

_stop: Callable[[], None] | None = None


def start_tracing(server: str, mode: str, *, service: str, stage: str = "") -> None:
    """Trace from now on where `mode` says so; where to and how much say the OTEL_ variables. Raises StartRefused."""
    global _stop
    if mode == OFF:
        return
    for module in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        if not _is_installed(module):
            raise StartRefused(
                "MIDSTREAM_TRACING=otlp needs what is not installed: pip install 'midstream[tracing]', or set it to off"
            )
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if os.environ.get(variable, "") not in _PROTOCOLS:
            raise StartRefused(
                f"{variable}: traces go by http/protobuf only (got {os.environ[variable]!r}); leave it out, "
                "and name the collector's HTTP port (4318) in OTEL_EXPORTER_OTLP_ENDPOINT"
            )
    from services.runtime.otel_tracer import open_tracer

    try:
        tracer, _stop = open_tracer(server, service=service, stage=stage)
    except ValueError as exc:
        raise StartRefused(
            f"a variable of OpenTelemetry cannot be used ({exc}): correct it in the environment"
        ) from exc
    tracing.install(tracer)


def stop_tracing(*, within_s: float = FLUSH_S) -> None:
    """Send what is left, for a bounded time; harmless when nothing was started, and when repeated."""
    global _stop
    tracing.install(None)
    stop, _stop = _stop, None
    if stop is None:
        return
    # The library's own bound is for each attempt; this one is for all of it, and the thread ends with the process.
    ending = threading.Thread(target=stop, name="flush-traces", daemon=True)
    ending.start()
    ending.join(within_s)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
