"""`make run`: play the sample data through every server, live in between, and print a summary for people."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import grpc
from rich.console import Console

from clients.rpc import ControlClient
from protos.common.v1.market_pb2 import Marker
from protos.replay.v1.replay_pb2 import StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.cli.fleet import PRIVATE, Watcher, nursery_for
from services.cli.names import MODE_NAMES
from services.cli.nursery import Nursery
from services.cli.report import build_report, print_report
from services.cli.serve_command import Fleet
from services.cli.servers import DEFAULT_PORTS
from services.cli.supervisor import ChildFailed, ChildRefused
from services.cli.terminal import say, shown_path
from services.replay.sources.inspect import inspect
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.report import EngineReport, EngineState
from services.runtime.session.versions import NewerVersion
from services.samples import HISTORICAL as SAMPLE_HISTORICAL

OUT = Path("midstream-out/demo")
SERVERS = ("replay", "control", "price", "health", "sim-feed")
HISTORICAL_RECORDS = 6_000
LIVE_RECORDS = 500
SPEED = "4"
STEP_TIMEOUT_S = 60.0
POLL_S = 0.02


def run_demo() -> int:
    """Run the demonstration; returns the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with nursery_for(SERVERS) as nursery:
            return asyncio.run(_demo(console, nursery))
    except (ChildRefused, ChildFailed, StartRefused, NewerVersion, OSError) as exc:
        say(f"midstream demo: {exc}")
        return 1


async def _demo(console: Console, nursery: Nursery) -> int:
    shutil.rmtree(OUT, ignore_errors=True)
    ports = dict(zip(SERVERS, _free_ports(len(SERVERS)), strict=True))
    os.environ.update(_environment(ports))
    console.print("starting Redis and the replay, control, price and health servers ...")
    fleet = Fleet(SERVERS, partial(console.print, markup=False), nursery)
    supervisor = fleet.build()
    watch: asyncio.Task[None] | None = None
    try:
        await supervisor.start()
        watch = asyncio.create_task(supervisor.watch())
        watcher = Watcher(fleet.redis_url, "default", sink="price")
        with contextlib.closing(watcher):
            engine, sink = await _tour(console, watcher, ports["control"])
            seams = await asyncio.to_thread(_seams, ports["replay"], engine.last_sequence)
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await supervisor.stop()
    console.print(f"the stream shows it: {'; '.join(seams)}", markup=False)
    _summarise(console, engine, sink)
    return 0


async def _tour(console: Console, watcher: Watcher, control_port: int) -> tuple[EngineReport, SinkAnnouncement]:
    """Historical, live, historical to the end."""
    total = sum(1 for _ in SAMPLE_HISTORICAL.open("rb")) - 1
    with ControlClient(f"127.0.0.1:{control_port}") as control:
        console.print(f"replaying {shown_path(SAMPLE_HISTORICAL)} at {SPEED}x of real time")
        await _until(watcher, lambda engine, sink: _committed(sink) >= HISTORICAL_RECORDS, console, total)
        answer = await asyncio.to_thread(control.set_mode, "live")
        stopped_at = _published(watcher.engine())
        console.print(f"switched to live (revision {answer.revision}): the feed simulator, over a websocket")
        await _until(
            watcher,
            lambda engine, sink: _committed(sink) >= stopped_at + LIVE_RECORDS,
            console,
            LIVE_RECORDS,
            stopped_at,
        )
        answer = await asyncio.to_thread(control.set_mode, "historical")
        console.print(f"switched back (revision {answer.revision}): the historical replay resumes where it stopped")
        live = _published(watcher.engine()) - stopped_at
        return await _until(
            watcher,
            lambda engine, sink: engine.state is EngineState.COMPLETED and _committed(sink) >= engine.last_sequence,
            console,
            total + live,
        )


def _seams(replay_port: int, last_sequence: int) -> list[str]:
    """Read the whole session through ReplayService and tell where its mode changed, from the markers in the stream."""
    found: list[str] = []
    with grpc.insecure_channel(f"127.0.0.1:{replay_port}") as channel:
        stream = ReplayServiceStub(channel).StreamTicks(StreamTicksRequest(after_sequence=0), timeout=STEP_TIMEOUT_S)
        for batch in stream:
            for marker in batch.markers:
                if marker.kind == Marker.KIND_SEAM:
                    names = MODE_NAMES[marker.previous_mode], MODE_NAMES[marker.mode]
                    found.append(f"record {marker.sequence:,}: {names[0]} -> {names[1]}")
            if batch.last_sequence >= last_sequence:
                stream.cancel()
                break
    return found


async def _until(
    watcher: Watcher,
    reached: Callable[[EngineReport, SinkAnnouncement], bool],
    console: Console,
    total: int,
    base: int = 0,
) -> tuple[EngineReport, SinkAnnouncement]:
    """Wait until the reports satisfy `reached`, showing progress. Raises TimeoutError."""
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        show: Callable[[int], None] = lambda committed: None  # noqa: E731  the silent display
        if sys.stdout.isatty():
            from rich.progress import Progress

            progress = stack.enter_context(Progress(console=console, transient=True))
            task = progress.add_task("records committed", total=total)

            def show(committed: int) -> None:
                progress.update(task, completed=committed)

        while True:
            engine, sink = watcher.both()
            if engine is not None and engine.state is EngineState.FAILED:
                raise ChildFailed(engine.error)
            if sink is not None and sink.finished_error:
                raise ChildFailed(sink.finished_error)
            show(_committed(sink) - base)
            if engine is not None and sink is not None and reached(engine, sink):
                return engine, sink
            if time.monotonic() - started_s > STEP_TIMEOUT_S:
                raise TimeoutError(f"nothing came of this within {STEP_TIMEOUT_S:g} s; the last report is {engine}")
            await asyncio.sleep(POLL_S)


def _summarise(console: Console, engine: EngineReport, sink: SinkAnnouncement) -> None:
    report = build_report(OUT, engine=engine, sink=sink, rows_before=0, complete=True)
    console.print()
    print_report(
        partial(console.print, markup=False),
        report,
        pace=f"paced at {SPEED}x of real time; `midstream replay` is as fast as it can",
    )
    latency = inspect([str(SAMPLE_HISTORICAL)]).total.latency_ms
    shown = (
        "  ".join(f"{name} {value:.3f}" for name, value in asdict(latency).items()) if latency is not None else "none"
    )
    console.print(f"recorded latency, ms: {shown}", markup=False)
    for name in ("mid_prices.log", "errors.log"):
        console.print(f"\n{OUT / name}", markup=False)
        with (OUT / name).open() as log:
            for _, line in zip(range(3), log, strict=False):
                console.print(f"  {line.rstrip()}", markup=False)
    console.print("\nkeep everything up with `make serve`, then in another terminal:")
    for line in grpcurl_lines():
        console.print(f"  {line}", markup=False)


def grpcurl_lines() -> list[str]:
    """Calls that work verbatim against `make serve`."""
    control, price = DEFAULT_PORTS["control"], DEFAULT_PORTS["price"]
    replay, health = DEFAULT_PORTS["replay"], DEFAULT_PORTS["health"]
    return [
        f"""grpcurl -plaintext -d '{{"mode":"MODE_LIVE"}}' localhost:{control} midstream.control.v1.ControlService/SetMode""",
        f"grpcurl -plaintext localhost:{replay} midstream.replay.v1.ReplayService/ListSessions",
        f"""grpcurl -plaintext -d '{{"ticker":"BTC-USDT-SWAP@BINANCE"}}' localhost:{price} midstream.price.v1.PriceService/GetMidPrice""",
        f"grpcurl -plaintext localhost:{health} midstream.health.v1.HealthService/GetReport",
    ]


def _committed(sink: SinkAnnouncement | None) -> int:
    return 0 if sink is None else sink.position.sequence


def _published(engine: EngineReport | None) -> int:
    return 0 if engine is None else engine.last_sequence


def _environment(ports: dict[str, int]) -> dict[str, str]:
    """Ports of its own and quiet logs, so that a demonstration never disturbs servers that run already."""
    environment = {
        "MIDSTREAM_OUT": str(OUT),
        "MIDSTREAM_SPEED": SPEED,
        "MIDSTREAM_HISTORICAL": str(SAMPLE_HISTORICAL),
        "MIDSTREAM_LIVE_URL": "",
        "MIDSTREAM_REDIS_URL": "",
        "MIDSTREAM_SESSION": "default",
        # It shows one pair of logs.
        "MIDSTREAM_PARTITIONS": "1",
        "MIDSTREAM_PARTITION_OF": "",
        "MIDSTREAM_HOST": "127.0.0.1",
        **PRIVATE,
        "MIDSTREAM_LOG_LEVEL": "error",
        "MIDSTREAM_SIM_FEED_PORT": str(ports["sim-feed"]),
        "MIDSTREAM_SIM_FEED_RESTAMP": "on",
        "MIDSTREAM_PRICE_EXCHANGES": "",
    }
    for name in DEFAULT_PORTS.keys() & ports:
        environment[f"MIDSTREAM_{name.upper()}_PORT"] = str(ports[name])
        environment[f"MIDSTREAM_{name.upper()}_METRICS_PORT"] = "0"
    return environment


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
