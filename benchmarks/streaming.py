"""G7: ticks over gRPC, in batches against one by one, and to several subscribers against one. Every side is a process.

All subscribers decode what they get and share the machine with the server, as they would where it runs for the programs beside it. So
the rate alone would not tell a slow server from busy subscribers: the note says what a delivered tick takes of the server's CPU.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Final

import grpc

from benchmarks.context import Context, until
from benchmarks.pipeline import median
from benchmarks.processes import cpu_s
from benchmarks.results import Goal, Result
from protos.replay.v1.replay_pb2 import GetSessionRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.embedded import EmbeddedRedis

TICKS: Final = 1_000_000
TICKS_QUICK: Final = 500_000
SINGLE_TICKS: Final = 20_000
SINGLE_TICKS_QUICK: Final = 5_000
SUBSCRIBERS: Final = 4
RETAIN_BYTES: Final = 1 << 30
PAIRS_MAX: Final = 5


def g7(context: Context) -> list[Result]:
    """Stream what a session retains, from its first tick on."""
    count = min(context.ticks, TICKS_QUICK if context.quick else TICKS)
    single = SINGLE_TICKS_QUICK if context.quick else SINGLE_TICKS
    pairs = min(context.pairs, PAIRS_MAX)
    rates: list[float] = []
    one_by_one: list[float] = []
    with _replay_server(context, count) as server, _tick_server(context, single) as theirs:
        address, server_pid = server
        server_ns: dict[int, list[float]] = {1: [], SUBSCRIBERS: []}

        def batches() -> float:
            rates.append(count / _stream(context, address, count, 1))
            return 1 / rates[-1]

        def seconds_each(subscribers: int) -> float:
            before = cpu_s(server_pid)
            seconds = _stream(context, address, count, subscribers) / subscribers
            server_ns[subscribers].append((cpu_s(server_pid) - before) / subscribers / count * 1e9)
            return seconds

        def ticks() -> float:
            one_by_one.append(single / _stream(context, theirs, single, 1))
            return 1 / one_by_one[-1]

        against_single = context.pairs_of(batches, ticks, pairs=pairs)
        several = context.pairs_of(lambda: seconds_each(SUBSCRIBERS), lambda: seconds_each(1), pairs=pairs)
    note = (
        f"{max(rates) / 1e6:.1f} M ticks/s against {max(one_by_one):,.0f} at best; client and server in Python, decoded"
    )
    return [
        Result(
            "G7", "StreamTicks in batches", "one tick per message", tuple(against_single), Goal(200, 600), note=note
        ),
        Result(
            "G7b",
            f"{SUBSCRIBERS} subscribers, aggregate rate",
            "1 subscriber",
            tuple(several),
            Goal(0.95, 1.0),
            note=(
                "all begin at the oldest tick and decode, on the cores of the server; of whose CPU a delivered tick takes "
                f"{median(server_ns[SUBSCRIBERS]):.0f} ns with {SUBSCRIBERS}, {median(server_ns[1]):.0f} ns with one"
            ),
        ),
    ]


@contextlib.contextmanager
def _replay_server(context: Context, count: int) -> Iterator[tuple[str, int]]:
    """The replay server over a session that is complete; yields its address and its process id."""
    out = context.directory("streaming")
    ready = out / "ready.json"
    redis = EmbeddedRedis.start(out / "redis", append_only=False)
    try:
        settings = {
            "MIDSTREAM_REDIS_URL": redis.url,
            "MIDSTREAM_HISTORICAL": json.dumps(context.data_of(count).paths),
            "MIDSTREAM_SPEED": "max",
            "MIDSTREAM_SINKS": "",
            "MIDSTREAM_RETAIN_BYTES": str(RETAIN_BYTES),
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_READY_FILE": str(ready),
            "MIDSTREAM_REPLAY_PORT": "0",
            "MIDSTREAM_REPLAY_METRICS_PORT": "0",
            "MIDSTREAM_LOG_LEVEL": "warning",
        }
        with context.child("services.replay", log=out / "server.log", settings=settings) as process:
            until(ready.exists, what="the replay server's start")
            address = f"127.0.0.1:{json.loads(ready.read_text())['port']}"
            with grpc.insecure_channel(address) as channel:
                until(lambda: _complete(channel, count), what="the replay", poll_s=0.1)
            yield address, process.pid
    finally:
        redis.stop()


def _complete(channel: grpc.Channel, count: int) -> bool:
    try:
        session = ReplayServiceStub(channel).GetSession(GetSessionRequest()).session
    except grpc.RpcError:
        return False
    return session.last_sequence == count and session.oldest_sequence == 1


@contextlib.contextmanager
def _tick_server(context: Context, count: int) -> Iterator[str]:
    log = context.directory("tick-server") / "server.log"
    module, path = "benchmarks.competitors.tick_server", context.data.paths[0]
    with context.child(module, str(count), path, log=log) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"


def _stream(context: Context, address: str, count: int, subscribers: int) -> float:
    """Seconds from the first subscriber's begin to the last one's end."""
    log = context.directory("clients") / "client.log"
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(context.child("benchmarks.stream_client", address, str(count), log=log, stdin=True))
            for _ in range(subscribers)
        ]
        for client in clients:
            assert client.stdout is not None
            if client.stdout.readline() != b"ready\n":
                raise RuntimeError(f"a subscriber did not connect: {log.read_text()[-2000:]}")
        for client in clients:
            assert client.stdin is not None
            client.stdin.write(b"go\n")
            client.stdin.flush()
        answers = []
        for client in clients:
            assert client.stdout is not None
            line = client.stdout.readline()
            if not line:
                raise RuntimeError(f"a subscriber ended early: {log.read_text()[-2000:]}")
            answers.append(json.loads(line))
    return float(max(answer["end"] for answer in answers) - min(answer["begin"] for answer in answers))
