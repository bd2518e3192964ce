"""Control over a session of two partitions whose engines run in processes of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fastpath.frame import MARKER_DISCONTINUITY, TickFrame
from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, TimeRange
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from services.runtime.connection import connect
from services.runtime.session import partitions_stored
from services.runtime.session.effects import Effect
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.integration.control.harness import CALL_S, serving
from tests.integration.replay.engine.harness import EngineChild, serving_feed
from tests.support.waiting import wait_until

SPLIT = Partitioning(2)
TICKERS = [f"T{number}" for number in range(13)]
ROWS = 400
STEP_NS, LATENCY_NS = 20_000_000, 5_000_000
WHOLE = [1_767_225_600_000_000_000 + row * STEP_NS + LATENCY_NS for row in range(ROWS)]
"""The arrival times of all records; 2026-01-01 is the first row's."""
SLOW = 0.1
"""Eight seconds of data take long, so that everything happens where a test says."""


WAIT_S = 60.0
"""Bound on a wait, for a machine that does other things as well."""


class Parts:
    """A session of two partitions, and what is in its queues."""

    def __init__(self, url: str, session: str, directory: Path) -> None:
        self._url, self._session, self._directory = url, session, directory
        self.client: Any = connect(url, client_name="test")
        self.client.set(SessionKeys(session).partitions, partitions_stored.encode(SPLIT))
        self.keys = [SessionKeys(session, partition) for partition in range(SPLIT.count)]
        self.engines: dict[int, EngineChild] = {}
        self._file = directory / "ticks.csv"
        with self._file.open("w", encoding="ascii") as rows:
            rows.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
            for row in range(ROWS):
                second, milliseconds = divmod(row * STEP_NS // 1_000_000, 1000)
                stamp = f"2026-01-01 00:00:{second:02}.{milliseconds:03}000"
                rows.write(f"{row},{stamp},{TICKERS[row * 7 % 13]},{100 + row}.25,1.0,{100 + row}.75,1.0,5\n")

    def start(self, *partitions: int, **config: Any) -> None:
        for partition in partitions:
            self.engines[partition] = EngineChild(
                self._url,
                self._session,
                self._directory,
                historical=[str(self._file)],
                partition=partition,
                partitions=SPLIT.count,
                **{"speed": SLOW} | config,
            )
        for partition in partitions:
            self._wait(partition, lambda state: state.get("last_sequence", 0) > 0)

    def wait(self, field: str, value: object) -> None:
        """Wait until the engines of both report so."""
        for partition in range(SPLIT.count):
            self._wait(partition, lambda state: state.get(field) == value)

    def _wait(self, partition: int, condition: Callable[[dict[str, Any]], bool]) -> None:
        engine, key = self.engines[partition], self.keys[partition].partition_state

        def holds() -> bool:
            assert engine.process.poll() is None, (engine.events("failed") or engine.reports[-1:], engine.errors[-5:])
            state = json.loads(self.client.get(key) or "{}")
            return state.get("pid") == engine.process.pid and condition(state)

        wait_until(holds, timeout_s=WAIT_S, what=f"what partition {partition} is to report")

    def frames(self, partition: int) -> list[TickFrame]:
        return [TickFrame(fields[b"b"]) for _, fields in self.client.xrange(self.keys[partition].ticks)]

    def arrivals(self, partition: int) -> list[int]:
        return [tick[3] for frame in self.frames(partition) for tick in frame.ticks()]

    def markers(self, partition: int) -> list[Any]:
        return [marker for frame in self.frames(partition) for marker in frame.markers]

    def close(self) -> None:
        for engine in self.engines.values():
            engine.kill()
        self.client.close()


@pytest.fixture
def parts(redis_aof_url: str, session_name: str, tmp_path: Path) -> Iterator[Parts]:
    made = Parts(redis_aof_url, session_name, tmp_path)
    yield made
    made.close()


@pytest.fixture
async def stub(redis_aof_url: str, session_name: str, tmp_path: Path) -> AsyncIterator[ControlServiceStub]:
    async with serving(redis_aof_url, session_name, tmp_path / "journal") as served:
        yield served


async def state_of(stub: ControlServiceStub) -> pb.ControlState:
    return (await stub.GetState(pb.GetStateRequest(), timeout=CALL_S)).state


async def test_what_counts_records_is_refused_with_the_way_out(parts: Parts, stub: ControlServiceStub) -> None:
    asked = [
        (stub.Step, pb.StepRequest(ticks=3), "schedule a pause at an arrival time"),
        (stub.Step, pb.StepRequest(ticker="BTC"), "schedule a pause at an arrival time"),
        (stub.Seek, pb.SeekRequest(sequence=5), "seek to an arrival time"),
        (stub.Pause, pb.PauseRequest(when=pb.When(after_sequence=5)), "schedule at an arrival time"),
    ]
    for method, request, way_out in asked:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, timeout=CALL_S)  # type: ignore[operator]
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "is published in 2 partitions" in str(caught.value.details())
        assert way_out in str(caught.value.details())

    assert parts.client.exists(parts.keys[0].control) == 0


async def test_no_revision_is_given_that_any_partition_has_applied(parts: Parts, stub: ControlServiceStub) -> None:
    parts.client.hset(parts.keys[1].checkpoint, "revision", 7)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Pause(pb.PauseRequest(), timeout=0.5)

    assert "intent 8 " in str(caught.value.details())


async def test_commands_take_effect_in_all_partitions_at_one_arrival_time(
    parts: Parts, stub: ControlServiceStub
) -> None:
    parts.start(0, 1)
    pause_ns, back_ns, end_ns = (WHOLE[len(WHOLE) * share // 100] for share in (60, 30, 45))

    scheduled = await stub.Pause(pb.PauseRequest(when=pb.When(at_arrival_time_ns=pause_ns)), timeout=CALL_S)
    assert [one.revision for one in (await state_of(stub)).scheduled] == [scheduled.revision]
    await stub.SetSpeed(pb.SetSpeedRequest(speed=0.0), timeout=CALL_S)
    parts.wait("state", "PAUSED")
    state = await state_of(stub)
    assert (state.paused, state.speed, state.state, state.partitions) == (True, 0.0, "PAUSED", 2)
    assert not state.scheduled
    before = [arrival for arrival in WHOLE if arrival < pause_ns]
    assert sorted(parts.arrivals(0) + parts.arrivals(1)) == before
    assert state.position_arrival_time_ns == min(parts.arrivals(0)[-1], parts.arrivals(1)[-1])

    counts = [len(parts.arrivals(partition)) for partition in (0, 1)]
    # Each says behind which record of its own it paused.
    told = [
        [Effect.decode(fields[b"effect"]) for _, fields in parts.client.xrange(keys.effects)] for keys in parts.keys
    ]
    paused = [[each for each in found if each.revision == scheduled.revision and not each.scheduled] for found in told]
    assert [[each.sequence for each in found] for found in paused] == [[count] for count in counts]
    bounds = TimeRange(end_arrival_time_ns=end_ns)
    bounded = await stub.SetRange(pb.SetRangeRequest(range=bounds), timeout=CALL_S)
    sought = await stub.Seek(pb.SeekRequest(arrival_time_ns=back_ns), timeout=CALL_S)
    markers = [parts.markers(partition) for partition in (0, 1)]
    # The end lies behind where they stand, so that they were moved with it, too.
    expected = [(MARKER_DISCONTINUITY, bounded.revision), (MARKER_DISCONTINUITY, sought.revision)]
    assert [[(each.kind, each.revision) for each in found] for found in markers] == [expected] * 2
    assert sought.sequence == sum(found[-1].sequence for found in markers)
    await stub.Resume(pb.ResumeRequest(), timeout=CALL_S)
    parts.wait("state", "COMPLETED")
    again = sorted(parts.arrivals(0)[counts[0] :] + parts.arrivals(1)[counts[1] :])
    assert again == [arrival for arrival in WHOLE if back_ns <= arrival < end_ns]


async def test_a_command_stays_pending_until_the_engine_of_every_partition_has_applied_it(
    parts: Parts, stub: ControlServiceStub
) -> None:
    parts.start(0, 1)
    parts.engines[1].kill()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Pause(pb.PauseRequest(request_id="one"), timeout=1.0)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "journalled but not effective yet" in str(caught.value.details())
    parts.engines[0].wait_state("PAUSED")
    state = await state_of(stub)
    assert (state.intended_revision, state.revision, state.paused) == (1, 0, False)

    before = parts.arrivals(1)
    parts.start(1, speed=0.0)
    parts.wait("state", "PAUSED")
    assert (await stub.Pause(pb.PauseRequest(request_id="one"), timeout=CALL_S)).revision == 1
    state = await state_of(stub)
    assert (state.revision, state.paused) == (1, True)
    assert parts.arrivals(1) == before


async def test_a_scheduled_switch_to_live_is_at_one_arrival_time(parts: Parts, stub: ControlServiceStub) -> None:
    at_ns = WHOLE[len(WHOLE) // 2]
    with serving_feed() as (live_url, _):
        parts.start(0, 1, live_url=live_url)
        await stub.SetMode(pb.SetModeRequest(mode=MODE_LIVE, when=pb.When(at_arrival_time_ns=at_ns)), timeout=CALL_S)
        await stub.SetSpeed(pb.SetSpeedRequest(speed=0.0), timeout=CALL_S)
        parts.wait("mode", MODE_LIVE)
        state = await state_of(stub)
    assert (state.mode, state.intended_mode) == (MODE_LIVE, MODE_LIVE)
    recorded = [
        tick[3]
        for part in (0, 1)
        for frame in parts.frames(part)
        if frame.mode == MODE_HISTORICAL
        for tick in frame.ticks()
    ]
    assert sorted(recorded) == [arrival for arrival in WHOLE if arrival < at_ns]
