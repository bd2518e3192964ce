"""Replay time under an operator's hand, through real servers: what subscribers, logs and prices see."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import grpc
import pytest

from protos.common.v1.market_pb2 import Marker, TickBatch
from protos.price.v1.price_pb2 import GetMidPriceRequest
from tests.reference.history import expected_outputs
from tests.support.cli import until
from tests.support.made_ticks import write_made_ticks
from tests.support.serving import Serving, sequences, serving

ROWS = 6000


def moves(batches: list[TickBatch]) -> list[Marker]:
    return [marker for batch in batches for marker in batch.markers if marker.kind == Marker.KIND_DISCONTINUITY]


def log_lines(servers: Serving, name: str) -> list[bytes]:
    return (servers.out / name).read_bytes().splitlines()


@pytest.mark.quick
def test_seeking_is_told_in_band_and_leaves_nothing_in_the_logs(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", ROWS, step_us=1000)
    expected = expected_outputs([path])
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="max") as servers:
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        lines = log_lines(servers, "mid_prices.log")
        with servers.control() as control:
            control.pause()
            begun = control.seek(begin=True)
            middle = control.seek(sequence=2001)
            told = control.state()
        servers.wait_committed(middle.sequence)
        assert log_lines(servers, "mid_prices.log") == lines == expected.mid_log.splitlines()
        with servers.control() as control:
            control.resume()
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        batches = servers.stream(after_sequence=0, to=last)
        played_again = log_lines(servers, "mid_prices.log")[len(lines) :]

    to_begin, to_middle = moves(batches)
    assert (begun.sequence, begun.position_arrival_time_ns) == (to_begin.sequence, 0)
    assert (middle.sequence, told.position_arrival_time_ns) == (to_middle.sequence, to_middle.position_arrival_time_ns)
    assert sequences(batches) == list(range(1, last + 1))
    assert len(to_begin.state) == 0
    assert len(to_middle.state) > 0
    assert all(quote.arrival_time_ns <= to_middle.position_arrival_time_ns for quote in to_middle.state)
    assert last == ROWS + 2 + ROWS - 2000
    assert played_again == lines[len(lines) - len(played_again) :]


def test_the_latest_mids_follow_the_state(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", ROWS, step_us=1000)
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="max") as servers:
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        ticker = first_ticker(servers, last)
        request = GetMidPriceRequest(ticker=ticker)
        at_the_end = servers.price.GetMidPrice(request).mid_price
        with servers.control() as control:
            control.pause()
            middle = control.seek(sequence=2001)

        def followed() -> bool:
            return servers.price.GetMidPrice(request).mid_price.sequence == middle.sequence

        until(followed, what="the mid of the state")
        in_the_middle = servers.price.GetMidPrice(request).mid_price
        assert in_the_middle.arrival_time_ns < at_the_end.arrival_time_ns
        assert in_the_middle.arrival_time_ns <= middle.position_arrival_time_ns

        with servers.control() as control:
            control.seek(begin=True)

        def gone() -> bool:
            try:
                servers.price.GetMidPrice(request)
            except grpc.RpcError as exc:
                return exc.code() == grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined, no-any-return]
            return False

        until(gone, what="no mid before the first record")


def first_ticker(servers: Serving, last: int) -> str:
    batches = servers.stream(after_sequence=0, to=last)
    return batches[0].tickers[0]


def test_a_killed_engine_goes_on_behind_the_move(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", ROWS, step_us=1000)
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="max") as servers:
        servers.wait_state("COMPLETED")
        with servers.control() as control:
            control.pause()
            control.seek(sequence=4001)
            before = servers.state()
            os.kill(before["pid"], signal.SIGKILL)
            until(lambda: servers.state().get("pid") not in (None, before["pid"]), what="another engine")
            servers.wait_state("PAUSED")
            assert servers.state()["position_arrival_time_ns"] == before["position_arrival_time_ns"]
            control.resume()
        last = servers.wait_state("COMPLETED")["last_sequence"]
        servers.wait_committed(last)
        batches = servers.stream(after_sequence=0, to=last)

    assert last == ROWS + 1 + ROWS - 4000
    assert len(moves(batches)) == 1
    assert sequences(batches) == list(range(1, last + 1))
    lines = log_lines(servers, "mid_prices.log")
    wanted = expected_outputs([path]).mid_log.splitlines()
    assert lines[: len(wanted)] == wanted
    assert lines[len(wanted) :] == wanted[len(wanted) - (len(lines) - len(wanted)) :]


def test_the_command_names_places_as_people_do(tmp_path: Path) -> None:
    path = write_made_ticks(tmp_path / "made.csv", 100, step_us=1000)
    with serving(tmp_path / "out", HISTORICAL=str(path), SPEED="max") as servers:
        servers.wait_state("COMPLETED")
        servers.midstream("pause")
        there = servers.midstream("seek", "begin")
        back = servers.midstream("seek", "-10ms", "--json")
        wrong = servers.midstream("seek", "yesterday")

    assert (there.code, there.stdout) == (0, "at the beginning, revision 2\n")
    assert back.code == 0
    assert wrong.code == 2
    assert "begin, end, +1.5s, -10m, #SEQUENCE" in wrong.stderr
