"""Historical to live and back while everything is being killed, control server and feed included."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from threading import Event

import grpc
import pytest

from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, Marker, TickBatch
from protos.control.v1 import control_pb2 as control
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from tests.reference.history import Expected, ExpectedTick, expected_outputs
from tests.support.chaos import HISTORY_TARGETS, Chaos, can_see_processes
from tests.support.history_files import Quirks, write_files
from tests.support.live_stream import (
    Stream,
    assert_live_gaps_are_explained,
    assert_logs_follow_the_stream,
    assert_no_unexplained_hole,
    read_stream,
    write_feed,
)
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

TARGETS = {**HISTORY_TARGETS, "redis": 1.5, "control": 2, "sim-feed": 1}
PATIENCE_S = 60.0


class Operator:
    """Asks for one change after the other from a thread of its own; repeats a request until it is answered."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._pool = ThreadPoolExecutor(1)
        self._closed = Event()
        self.answers: list[tuple[str, int]] = []
        """What was asked for, and the revision that it got."""

    def set_mode(self, mode: int) -> Future[None]:
        request_id = uuid.uuid4().hex
        return self._pool.submit(self._set_mode, control.SetModeRequest(mode=mode, request_id=request_id))

    def set_speed(self, speed: float) -> Future[None]:
        request_id = uuid.uuid4().hex
        return self._pool.submit(self._set_speed, control.SetSpeedRequest(speed=speed, request_id=request_id))

    def close(self) -> None:
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def _set_mode(self, request: control.SetModeRequest) -> None:
        for stub in self._stubs():
            try:
                answer = stub.SetMode(request, timeout=5)
            except grpc.RpcError as exc:
                self._must_be_temporary(exc)
            else:
                self.answers.append(("mode", answer.revision))
                return

    def _set_speed(self, request: control.SetSpeedRequest) -> None:
        for stub in self._stubs():
            try:
                self.answers.append(("speed", stub.SetSpeed(request, timeout=5).revision))
            except grpc.RpcError as exc:
                self._must_be_temporary(exc)
            else:
                return

    def _stubs(self) -> Iterator[ControlServiceStub]:
        """A new channel for every attempt: a restarted control server has another port."""
        while not self._closed.wait(0.02):
            port = self._chaos.servers["control"].announcement().get("port", 1)
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield ControlServiceStub(channel)

    @staticmethod
    def _must_be_temporary(error: grpc.RpcError) -> None:
        # NOT_FOUND: a Redis that was just emptied of the engine's report, or an engine that never reported yet.
        temporary = (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.CANCELLED,
        )
        assert error.code() in temporary, error


def assert_history_once_and_in_order(stream: Stream, expected: Expected) -> None:
    found: list[object] = []
    for batch in stream.batches:
        if batch.mode == MODE_HISTORICAL:
            found += _records(batch)
    wanted: list[object] = [
        (record.key[0], _bits(record.bid_price, record.ask_price), record.ticker)
        if isinstance(record, ExpectedTick)
        else record.reason
        for record in expected.sequence
    ]
    same = next(
        (i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]),
        min(len(found), len(wanted)),
    )
    assert found == wanted, f"{len(found)} records instead of {len(wanted)}, different from {same} on"


def _records(batch: TickBatch) -> list[object]:
    """Ticks and rejections of a batch in the order of their sequences; a rejection is its reason."""
    markers = {marker.sequence for marker in batch.markers}
    rejections = {rejection.sequence: rejection for rejection in batch.rejections}
    index, found = 0, []
    for sequence in range(batch.first_sequence, batch.last_sequence + 1):
        if sequence in rejections:
            found.append(rejections[sequence].reason)
        elif sequence not in markers:
            prices = _bits(batch.bid_price[index], batch.ask_price[index])
            found.append((batch.arrival_time_ns[index], prices, batch.tickers[batch.ticker_index[index]]))
            index += 1
    return found


def _bits(*prices: float) -> bytes:
    """Return floats so that all NaNs are alike."""
    return struct.pack(f"<{len(prices)}d", *(float("nan") if price != price else price for price in prices))


def assert_every_switch_has_one_seam(stream: Stream, revisions: Sequence[int]) -> None:
    seams = [marker for marker in stream.markers if marker.kind == Marker.KIND_SEAM]
    assert [seam.revision for seam in seams] == list(revisions)
    modes = [MODE_LIVE, MODE_HISTORICAL] * len(revisions)
    assert [seam.mode for seam in seams] == modes[: len(revisions)]


def switch_under_attack(directory: Path, seed: int, *, switches: int, kills: int, rows: int) -> None:
    """Switch to and fro; some faults during every switch and some after it, then history to its end."""
    quirks = [Quirks(rows=rows, step_us=2_000, negative=0.05)]
    (directory / "in").mkdir(parents=True)
    files = write_files(directory / "in", Random(seed), 2, quirks=quirks)
    expected = expected_outputs(files)
    feed = write_feed(directory / "in" / "feed.csv")
    port = free_port()
    chaos = Chaos(
        directory,
        seed=seed,
        append_only=True,
        servers=("sim-feed", "replay", "price", "control"),
        HISTORICAL=",".join(files),
        LIVE_URL=f"ws://127.0.0.1:{port}",
        # A slow machine takes minutes for all switches, and the last seam needs a record behind it.
        SPEED="0.3",
        SIM_FEED_PORT=str(port),
        SIM_FEED_FILE=str(feed),
    )
    operator = Operator(chaos)
    with chaos:
        try:
            chaos.until(lambda: chaos.sink().get("sequence", 0) > 100, what="the first ticks")
            for number in range(switches):
                switching = operator.set_mode((MODE_LIVE, MODE_HISTORICAL)[number % 2])
                chaos.rampage(kills // 2, targets=TARGETS)
                chaos.until(switching.done, what="the switch", timeout_s=PATIENCE_S)
                switching.result()
                chaos.rampage(kills - kills // 2, targets=TARGETS)
                reached = chaos.sink().get("sequence", 0)
                chaos.until(partial(_has_committed, chaos, reached + 50), what="ticks after the switch")
            ending = operator.set_speed(0)
            chaos.until(ending.done, what="the last change", timeout_s=PATIENCE_S)
            ending.result()
            chaos.complete()
        finally:
            operator.close()
        state, stream = chaos.state(), read_stream(chaos.redis.url, chaos.keys)
        with chaos.redis.client() as client:
            journalled = client.xlen(chaos.keys.control)

        revisions = [revision for _, revision in operator.answers]
        assert revisions == list(range(1, switches + 2))
        assert journalled == state["revision"] == switches + 1
        jumps = assert_no_unexplained_hole(stream)
        assert_every_switch_has_one_seam(stream, revisions[:-1])
        assert_history_once_and_in_order(stream, expected)
        assert assert_live_gaps_are_explained(stream) > 0
        assert len({batch.epoch for batch in stream.batches}) == 1
        if not jumps:
            # A Redis that lost its last second may have lost live lines that are in the logs already.
            assert_logs_follow_the_stream(chaos.out, stream)


def _has_committed(chaos: Chaos, sequence: int) -> bool:
    return bool(chaos.sink().get("sequence", 0) > sequence)


@pytest.mark.long
@pytest.mark.parametrize("seed", [3], ids=lambda seed: f"seed {seed}")
def test_switching_while_servers_are_killed_loses_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    switch_under_attack(tmp_path, seed, switches=2, kills=3, rows=3_000)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [301], ids=lambda seed: f"seed {seed}")
def test_switching_often_while_servers_are_killed_loses_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    switch_under_attack(tmp_path, seed, switches=6, kills=6, rows=8_000)
