"""A replica that was behind takes over under servers at work: whoever has seen a number has seen what everybody else has under it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
import redis

from clients.rpc.following import Lost, Missed, Start
from clients.rpc.replay import ReplayClient
from fastpath.frame import MARKER_GAP, MODE_LIVE, TickFrame
from fastpath.midprice import PriceKernel
from protos.common.v1.market_pb2 import TickBatch
from services.runtime.session.keys import SessionKeys
from tests.reference.history import expected_outputs
from tests.support.chaos import Server, can_see_processes
from tests.support.history_files import Quirks, write_files
from tests.support.live_stream import write_feed
from tests.support.ports import free_port
from tests.support.replicated_redis import ReplicatedRedis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

SEED = 15
LIVE_ROWS = 150_000
"""More than come while the readers of a quick machine get ahead."""
PATIENCE_S = 30.0


class Subscriber:
    """Follows the ticks from the first one, over every lost connection, and keeps what it got."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stopping = threading.Event()
        self.batches: list[TickBatch] = []
        self.missed: list[str] = []
        self.error = ""
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._thread.start()

    @property
    def last(self) -> tuple[str, int]:
        """Epoch and sequence of what came last."""
        return (self.batches[-1].epoch, self.batches[-1].last_sequence) if self.batches else ("", 0)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        try:
            with ReplayClient(self._address) as client:
                for found in client.ticks(Start(oldest=True)):
                    if isinstance(found, Missed):
                        self.missed.append(found.reason)
                    elif not isinstance(found, Lost):
                        self.batches.append(found)
                    if self._stopping.is_set():
                        return
        except grpc.RpcError as exc:
            self.error = f"{exc.code()} {exc.details()}"


class Stage:
    """Feed, replay and price servers on a primary with a replica."""

    def __init__(self, directory: Path, **settings: str) -> None:
        (directory / "in").mkdir(parents=True)
        self.out = directory / "out"
        self.keys = SessionKeys("default")
        self.redis = ReplicatedRedis(directory / "redis", append_only=True)
        files = write_files(
            directory / "in", Random(SEED), 2, quirks=[Quirks(rows=3_000, step_us=2_000, negative=0.05)]
        )
        self.expected = expected_outputs(files)
        feed_port, self.port = free_port(), free_port()
        environment = {
            "MIDSTREAM_REDIS_URL": self.redis.url,
            "MIDSTREAM_OUT": str(self.out),
            "MIDSTREAM_HISTORICAL": ",".join(files),
            "MIDSTREAM_SIM_FEED_PORT": str(feed_port),
            "MIDSTREAM_SIM_FEED_FILE": str(write_feed(directory / "in" / "feed.csv", LIVE_ROWS)),
            "MIDSTREAM_REPLAY_PORT": str(self.port),
            "MIDSTREAM_REPLAY_METRICS_PORT": "0",
            "MIDSTREAM_PRICE_PORT": "0",
            "MIDSTREAM_PRICE_METRICS_PORT": "0",
            **settings,
        }
        if "MIDSTREAM_HAND_OVER" in settings:
            environment["MIDSTREAM_LIVE_URL"] = f"ws://127.0.0.1:{feed_port}"
        names = ("sim-feed", "replay", "price")
        self.servers = {name: Server(name, directory, dict(environment)) for name in names}
        for server in self.servers.values():
            server.start()

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        self.redis.close()

    def sink(self) -> dict[str, Any]:
        """What the sink has told whoever is the primary."""
        try:
            with self.redis.client() as client:
                found: Any = client.hget(self.keys.sinks, "price")
        except (redis.RedisError, OSError):
            return {}
        return dict(json.loads(found)) if found else {}

    def frames(self) -> list[TickFrame]:
        """What the stream holds."""
        with self.redis.client() as client:
            return [TickFrame(fields[b"b"]) for _, fields in client.xrange(self.keys.ticks)]

    def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_until(lambda: bool(condition()), timeout_s=PATIENCE_S, what=what)
        except AssertionError:
            for server in self.servers.values():
                print(f"--- {server.name}\n{server.tail()}")  # noqa: T201
            raise

    @contextmanager
    def feed_held(self) -> Iterator[None]:
        """No live record comes, so that everybody gets to the same place."""
        pid = self.servers["sim-feed"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    started: list[Stage] = []

    def start(**settings: str) -> Stage:
        started.append(Stage(tmp_path, **settings))
        return started[-1]

    yield start
    for stage in started:
        stage.close()


def contents(frame: TickFrame) -> Iterator[tuple[int, object]]:
    """Every tick and marker of a batch by its number. A marker that names lost numbers stands in the place of the first of them."""
    for tick in frame.ticks():
        yield tick[0], tick[1:]
    for marker in frame.markers:
        if not (marker.kind == MARKER_GAP and marker.next_sequence):
            yield marker.sequence, (marker.kind, marker.reason)


def assert_one_content_each(frames: list[TickFrame]) -> None:
    """Hold all that anybody got against each other."""
    known: dict[tuple[str, int], object] = {}
    for frame in frames:
        for sequence, content in contents(frame):
            before = known.setdefault((frame.epoch, sequence), content)
            assert repr(before) == repr(content), f"{frame.epoch} {sequence} is {content}, and was {before}"


def assert_holes_are_named(frames: list[TickFrame]) -> None:
    """What a subscriber gets goes on by one, or where a gap marker says, or at the beginning of another numbering."""
    epoch, due, named = "", 1, 0
    for frame in frames:
        if frame.epoch != epoch:
            epoch, due, named = frame.epoch, 1, 0
        assert frame.first_sequence in (due, named), f"{frame.epoch} {frame.first_sequence} comes where {due} is due"
        due = frame.last_sequence + 1
        named = next((marker.next_sequence for marker in frame.markers if marker.kind == MARKER_GAP), 0)


def assert_log_is_of(frames: list[TickFrame], out: Path) -> None:
    """The logs are what these records make."""
    kernel = PriceKernel(latency_threshold_ns=20_000_000, log_arrival=False)
    mids, errors = bytearray(), bytearray()
    for frame in frames:
        kernel.process(frame)
        mids += kernel.take_mid_text()
        errors += kernel.take_error_text()
    assert (out / "mid_prices.log").read_bytes() == mids
    assert (out / "errors.log").read_bytes() == errors


def assert_history_is_exact(stage: Stage) -> None:
    for name, wanted in (("mid_prices.log", stage.expected.mid_log), ("errors.log", stage.expected.error_log)):
        found = (stage.out / name).read_bytes()
        assert found[: len(wanted)] == wanted, f"{name} does not begin with all of history"


@pytest.mark.cases(1)
@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed", [False, True], ids=["the producer lives", "the producer dies too"])
def test_live_records_that_readers_have_and_the_next_primary_has_not(
    killed: bool, stages: Callable[..., Stage]
) -> None:
    stage = stages(MIDSTREAM_HAND_OVER="at-end", MIDSTREAM_SPEED="max")
    stage.until(lambda: stage.sink().get("live_sequence"), "live records in the log")
    subscriber = Subscriber(f"127.0.0.1:{stage.port}")
    stage.until(lambda: subscriber.last[1] > 6_000, "live records at the subscriber")

    # The replica gets nothing more; readers do.
    stage.redis.fall_behind()
    with stage.redis.replica.client() as client:
        kept = TickFrame(client.xrevrange(stage.keys.ticks, count=1)[0][1][b"b"])
    ahead = kept.last_sequence + 50
    stage.until(lambda: stage.sink()["sequence"] > ahead and subscriber.last[1] > ahead, "readers ahead of the replica")
    with stage.feed_held():
        stage.until(lambda: subscriber.last == _newest(stage) == _place(stage), "everybody at the same place")
        everywhere = subscriber.last
        if killed:
            stage.servers["replay"].kill()
        stage.redis.fail_over()
        assert stage.frames()[-1].last_sequence < ahead, "the replica was to be behind"
        if killed:
            stage.servers["replay"].start()
    stage.until(lambda: _went_on(stage, *everywhere, killed=killed), "live records behind the failover")
    with stage.feed_held():
        stage.until(lambda: subscriber.last == _place(stage) == _newest(stage), "everybody at the same place again")
        got = [TickFrame(batch.SerializeToString()) for batch in subscriber.batches]
        assert_log_is_of(got, stage.out)

    subscriber.close()
    assert not subscriber.error
    assert got[-1].mode == MODE_LIVE
    assert len({frame.epoch for frame in got}) == (2 if killed else 1)
    assert_one_content_each([*got, *stage.frames()])
    assert_holes_are_named(got)
    assert_history_is_exact(stage)


def _newest(stage: Stage) -> tuple[str, int]:
    frame = stage.frames()[-1]
    return frame.epoch, frame.last_sequence


def _place(stage: Stage) -> tuple[str, int]:
    sink = stage.sink()
    return (str(sink["epoch"]), int(sink["sequence"])) if sink else ("", 0)


def _went_on(stage: Stage, epoch: str, sequence: int, *, killed: bool) -> bool:
    now = _place(stage)
    return (now[0] not in ("", epoch) and now[1] > 50) if killed else (now[0] == epoch and now[1] > sequence + 50)


@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize("killed", [False, True], ids=["the producer lives", "the producer dies too"])
def test_history_that_readers_have_and_the_next_primary_has_not(killed: bool, stages: Callable[..., Stage]) -> None:
    stage = stages(MIDSTREAM_SPEED="4")
    stage.until(lambda: stage.sink().get("sequence", 0) > 200, "the first records in the log")
    subscriber = Subscriber(f"127.0.0.1:{stage.port}")
    stage.redis.fall_behind()
    ahead = _newest(stage)[1] + 300
    stage.until(lambda: stage.sink()["sequence"] > ahead and subscriber.last[1] > ahead, "readers ahead of the replica")

    if killed:
        stage.servers["replay"].kill()
    stage.redis.fail_over()
    assert _newest(stage)[1] < ahead, "the replica was to be behind"
    if killed:
        stage.servers["replay"].environment["MIDSTREAM_SPEED"] = "max"
        stage.servers["replay"].start()
    stage.until(lambda: subscriber.last[1] == _place(stage)[1] == len(stage.expected.sequence), "the end of history")

    subscriber.close()
    assert not subscriber.error
    got = [TickFrame(batch.SerializeToString()) for batch in subscriber.batches]
    assert len({frame.epoch for frame in got}) == 1
    assert not any(frame.markers for frame in got)
    assert_one_content_each([*got, *stage.frames()])
    assert_holes_are_named(got)
    assert_history_is_exact(stage)
    assert (stage.out / "mid_prices.log").read_bytes() == stage.expected.mid_log
