"""G11: from the command to servers that serve, and to the first lines of a replay."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.context import ROOT, Context, clean_environment, until
from benchmarks.results import Goal, Result

SERVERS: Final = ("replay", "control", "price", "health")
SERVICES: Final = {
    "replay": "midstream.replay.v1.ReplayService",
    "control": "midstream.control.v1.ControlService",
    "price": "midstream.price.v1.PriceService",
    "health": "midstream.health.v1.HealthService",
}
REPLAY_TICKS: Final = 1_000_000
CALL_S: Final = 1.0
POLL_S: Final = 0.005


def g11(context: Context) -> list[Result]:
    """Measure both starts; Python's files are in the page cache, nothing else of ours runs."""
    serve, replay = [], []
    for _ in context.rounds():
        serve.append(_serve(context))
        replay.append(_replay(context))
        context.say(f"  serve {serve[-1]:.2f} s, replay {replay[-1]:.2f} s")
    return [
        Result(
            "G11",
            "`midstream serve` until all SERVING",
            "",
            tuple(serve),
            Goal(2.5, 2, lower_is_better=True),
            unit=" s",
        ),
        Result(
            "G11b",
            "`midstream replay` until the first lines",
            "",
            tuple(replay),
            Goal(1, 0.7, lower_is_better=True),
            unit=" s",
            note="both in seconds of this machine, from starting the command; servers on free ports, Redis included",
        ),
    ]


def _serve(context: Context) -> float:
    out = context.directory("serve")
    settings = {f"MIDSTREAM_{name.upper()}_PORT": "0" for name in SERVERS}
    settings |= {f"MIDSTREAM_{name.upper()}_METRICS_PORT": "0" for name in SERVERS}
    settings |= {"MIDSTREAM_SIM_FEED_PORT": "0", "MIDSTREAM_OUT": str(out / "var"), "MIDSTREAM_LOG_LEVEL": "warning"}
    started = time.monotonic()
    with _command(out, ["serve"], settings):
        for name in SERVERS:
            ready = out / "var" / ".midstream" / "ready" / f"{name}.json"
            until(ready.exists, what=f"the start of {name}", poll_s=POLL_S)
            with grpc.insecure_channel(f"127.0.0.1:{json.loads(ready.read_text())['port']}") as channel:
                until(lambda: _serves(channel, SERVICES[name]), what=f"{name} SERVING", poll_s=POLL_S)  # noqa: B023
        return time.monotonic() - started


def _serves(channel: grpc.Channel, service: str) -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=CALL_S, wait_for_ready=True
        )
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _replay(context: Context) -> float:
    """Lines are in the log a moment before they are synced and committed."""
    out = context.directory("replay")
    logs = [out / "out" / "mid_prices.log", out / "out" / "errors.log"]
    ticks = context.data_of(REPLAY_TICKS)
    started = time.monotonic()
    with _command(out, ["replay", *ticks.paths, "--out", str(out / "out"), "--json"], {}):
        until(lambda: any(_size(log) for log in logs), what="the first line", poll_s=POLL_S)
        return time.monotonic() - started


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def _command(out: Path, arguments: list[str], settings: dict[str, str]) -> Iterator[None]:
    log = out / "command.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env=clean_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
    try:
        yield
        if process.poll() not in (None, 0):
            raise RuntimeError(f"`midstream {arguments[0]}` ended with {process.returncode}: {log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
