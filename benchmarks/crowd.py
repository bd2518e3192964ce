"""G15: 500 subscribers of one session, one of them a process that is stopped, against the same without the stopped one.

What the others must not notice is how late their batches are, at the 99th percentile. A batch says when it was published, and every
subscriber looks at the clock when it has it. The stopped one begins far behind, so that everything between it and the server is full.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import redis

from benchmarks.context import Context, until
from benchmarks.pipeline import median
from benchmarks.results import Goal, Result
from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, encode_batch
from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.session.keys import SESSIONS, SessionKeys

SUBSCRIBERS: Final = 500
ROWS: Final = 100
BATCHES_PER_SECOND: Final = 10
MEASURED_S, MEASURED_S_QUICK = 6.0, 4.0
BEHIND_BATCHES: Final = 4_000
"""What the stopped one has not read: about 21 MB, more than any buffer on the way."""
PAIRS_MAX: Final = 5
SESSION: Final = "crowd"
OWN_TICKS: Final = 8_000


def crowd(context: Context) -> list[Result]:
    """Publish at a pace to 499 who read, with and without one that does not."""
    memory: dict[bool, list[float]] = {True: [], False: []}
    p99: dict[bool, list[float]] = {True: [], False: []}
    ratios = []
    measured_s = MEASURED_S_QUICK if context.quick else MEASURED_S
    for number in context.rounds(min(context.pairs, PAIRS_MAX)):
        # In turn, because the second of two runs finds a warmer machine.
        for stopped in (True, False) if number % 2 else (False, True):
            late_ms, mebibytes = _deliver(context, stopped=stopped, measured_s=measured_s)
            p99[stopped].append(late_ms)
            memory[stopped].append(mebibytes)
        ratios.append(p99[True][-1] / p99[False][-1])
        context.say(f"  p99 {p99[True][-1]:.1f} ms beside a stopped one, {p99[False][-1]:.1f} ms without")
    note = (
        f"p99 {median(p99[True]):.1f} ms against {median(p99[False]):.1f} ms, {BATCHES_PER_SECOND} batches/s to each; the server "
        f"has {median(memory[True]):.0f} MiB at most with the stopped one, {median(memory[False]):.0f} MiB without"
    )
    return [
        Result(
            "G15",
            f"delivery p99 of {SUBSCRIBERS - 1} subscribers beside a stopped one",
            "without it",
            tuple(ratios),
            Goal(1.5, 1.1, lower_is_better=True),
            note=note,
        )
    ]


def _deliver(context: Context, *, stopped: bool, measured_s: float) -> tuple[float, float]:
    """Lateness at the 99th percentile in ms, and the most memory that the server had in MiB."""
    out = context.directory("crowd")
    log = out / "clients.log"
    with _server(context, out) as (address, pid, client), contextlib.ExitStack() as stack:
        stream = _Stream(client)
        stream.publish(BEHIND_BATCHES)
        if stopped:
            arguments = (address, SESSION, "1", "0", str(1 << 62))
            reader = stack.enter_context(context.child("benchmarks.crowd_client", *arguments, log=log))
            assert reader.stdout is not None
            reader.stdout.readline()
            reader.send_signal(signal.SIGSTOP)
            # A stopped process does not hear that it should end.
            stack.callback(reader.send_signal, signal.SIGCONT)
        last = stream.last_sequence
        batches = int(measured_s * BATCHES_PER_SECOND)
        arguments = (address, SESSION, str(SUBSCRIBERS - 1), str(last), str(last + (1 + batches) * ROWS))
        others = stack.enter_context(context.child("benchmarks.crowd_client", *arguments, log=log))
        assert others.stdout is not None
        # Whoever comes later gets it, too: each begins behind a number.
        stream.publish(1)
        if others.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the subscribers did not come: {log.read_text()[-2000:]}")
        begun = time.monotonic()
        for number in range(batches):
            time.sleep(max(0.0, begun + number / BATCHES_PER_SECOND - time.monotonic()))
            stream.publish(1)
        line = others.stdout.readline()
        if not line:
            raise RuntimeError(f"the subscribers ended early: {log.read_text()[-2000:]}")
        late_ms = json.loads(line)["late_ms"]
        if len(late_ms) < batches * (SUBSCRIBERS - 1):
            raise AssertionError(f"{len(late_ms):,} deliveries of {batches * (SUBSCRIBERS - 1):,}")
        return float(np.percentile(late_ms, 99)), _peak_mebibytes(pid)


class _Stream:
    """Publishes batches of one session, as an engine does."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = SessionKeys(SESSION)
        self._block = Block(Tickers())
        for row in range(ROWS):
            self._block.append_tick(
                f"TICKER-{row % 8}", arrival_time_ns=row, event_time_ns=row, bid_price=1, bid_amount=1, ask_price=2,
                ask_amount=1, row=row,
            )  # fmt: skip
        self.last_sequence = 0
        client.sadd(SESSIONS, SESSION)

    def publish(self, batches: int) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for _ in range(batches):
                first = self.last_sequence + 1
                encoded, _, self.last_sequence = encode_batch(
                    self._block, 0, ROWS, epoch="crowd", mode=MODE_HISTORICAL, first_sequence=first, sources=["-"],
                    publish_time_ns=time.time_ns(),
                )  # fmt: skip
                pipeline.xadd(self._keys.ticks, {"b": encoded}, id=f"0-{first}")
            pipeline.execute()


@contextlib.contextmanager
def _server(context: Context, out: Path) -> Iterator[tuple[str, int, redis.Redis]]:
    """A replay server, whose own session is small and done; its address, its process id, and its Redis."""
    ready = out / "ready.json"
    embedded = EmbeddedRedis.start(out / "redis", append_only=False)
    try:
        settings = {
            "MIDSTREAM_REDIS_URL": embedded.url,
            "MIDSTREAM_HISTORICAL": json.dumps(context.data_of(OWN_TICKS).paths),
            "MIDSTREAM_SPEED": "max",
            "MIDSTREAM_SINKS": "",
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_READY_FILE": str(ready),
            "MIDSTREAM_REPLAY_PORT": "0",
            "MIDSTREAM_REPLAY_METRICS_PORT": "0",
            "MIDSTREAM_LOG_LEVEL": "warning",
        }
        with (
            context.child("services.replay", log=out / "server.log", settings=settings) as process,
            contextlib.closing(connect(embedded.url, client_name="benchmark")) as client,
        ):
            until(ready.exists, what="the replay server's start")
            yield f"127.0.0.1:{json.loads(ready.read_text())['port']}", process.pid, client
    finally:
        embedded.stop()


def _peak_mebibytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
