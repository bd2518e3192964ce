"""A connection table lets whoever asks for something in, at the cost of those who do not."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.metrics import Metrics
from services.runtime.settings import ProcessSettings
from services.runtime.web.limits import BODIES_BYTES_MAX, WebLimits
from services.runtime.web.table import REPORT_S, Connection, ConnectionTable, Phase
from tests.support.clock import FakeClock
from tests.support.log_records import said

LIMITS = WebLimits(
    connections=4, connections_per_address=2, streams=2, streams_per_address=1, requests=2,
    header_s=10.0, idle_s=75.0, grace_s=20.0, rate=1_000,
)  # fmt: skip
HERE = "127.0.0.1"


class Wire:
    """What the table did to one connection."""

    def __init__(self) -> None:
        self.did = ""
        self.waiting = 0
        self.gone = 0

    def unsent(self) -> int:
        return self.waiting

    def sent(self) -> int:
        return self.gone

    def end(self, phase: Phase) -> None:
        self.did = f"ended in its {phase.value}"

    def cut(self) -> None:
        self.did = "cut"


class Bench:
    """A table with a clock in hand."""

    def __init__(self, **changes: float) -> None:
        self.clock = FakeClock()
        self.table = ConnectionTable(
            replace(LIMITS, **changes), name="TEST", clock_s=lambda: self.clock.monotonic_ns() / 1e9, first=("/stop",)
        )
        self.wires: dict[Connection, Wire] = {}

    def come(self, address: str = HERE, phase: Phase = Phase.HEAD) -> Connection:
        wire = Wire()
        row = self.table.admit(address, wire)
        assert row is not None, "refused"
        self.wires[row] = wire
        self.table.move(row, phase)
        return row

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.table.sweep()

    def did(self, *rows: Connection) -> list[str]:
        return [self.wires[row].did for row in rows]


def test_a_full_table_gives_up_the_oldest_that_has_sent_no_header() -> None:
    bench = Bench()
    answered = bench.come(phase=Phase.ANSWER)
    first, second = bench.come(), bench.come()
    idle = bench.come(phase=Phase.IDLE)

    bench.come()

    assert bench.did(answered, first, second, idle) == ["", "cut", "", ""]
    assert len(bench.table) == 4


def test_whoever_is_idle_goes_before_a_body_and_nobody_who_is_answered_goes() -> None:
    bench = Bench()
    body = bench.come(phase=Phase.BODY)
    idle = bench.come(phase=Phase.IDLE)
    answered = bench.come(phase=Phase.ANSWER)
    stream = bench.come(phase=Phase.STREAM)

    bench.come(phase=Phase.ANSWER)
    after_one = bench.did(body, idle)
    bench.come(phase=Phase.ANSWER)
    after_two = bench.did(body, idle)

    assert (after_one, after_two) == (["", "cut"], ["cut", "cut"])
    assert bench.table.admit(HERE, Wire()) is None
    assert bench.did(answered, stream) == ["", ""]


def test_an_address_beyond_its_share_gives_up_its_own_and_nobody_elses() -> None:
    bench = Bench()
    other = bench.come("192.0.2.9")
    first, second = bench.come("192.0.2.1"), bench.come("192.0.2.1")

    bench.come("192.0.2.1")

    assert bench.did(other, first, second) == ["", "cut", ""]


def test_this_machine_has_no_share_because_a_proxy_on_it_has_everybodys() -> None:
    bench = Bench()
    rows = [bench.come(HERE, phase=Phase.ANSWER) for _ in range(LIMITS.connections)]

    assert bench.did(*rows) == [""] * LIMITS.connections


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_whoever_has_a_network_counts_once(one: str, another: str, same: bool) -> None:
    bench = Bench(connections_per_address=1)
    first = bench.come(one)

    bench.come(another)

    assert bench.did(first) == ["cut" if same else ""]


@pytest.mark.parametrize(
    ("phase", "given_s"),
    [(Phase.HEAD, LIMITS.header_s), (Phase.IDLE, LIMITS.idle_s), (Phase.BODY, LIMITS.grace_s)],
    ids=lambda value: str(value),
)
def test_each_phase_has_its_time(phase: Phase, given_s: float) -> None:
    bench = Bench()
    row = bench.come(phase=phase)

    bench.wait(given_s)
    in_time = bench.did(row)
    bench.wait(0.1)
    late = bench.did(row)
    bench.wait(1.0)

    assert (in_time, late, bench.did(row)) == ([""], [f"ended in its {phase.value}"], ["cut"])


@pytest.mark.parametrize("phase", [Phase.ANSWER, Phase.STREAM])
def test_what_is_answered_has_all_the_time_that_the_answer_takes(phase: Phase) -> None:
    bench = Bench()
    row = bench.come(phase=phase)

    bench.wait(1_000.0)

    assert bench.did(row) == [""]


def test_more_bytes_of_a_header_give_no_more_time() -> None:
    bench = Bench()
    row = bench.come()

    for _ in range(10):
        bench.wait(LIMITS.header_s / 10)
        bench.table.move(row, Phase.HEAD)
    bench.wait(0.1)

    assert bench.did(row) == ["ended in its header"]


def test_a_body_gets_the_time_that_its_bytes_take_and_no_more() -> None:
    bench = Bench()
    quick, slow = bench.come(phase=Phase.BODY), bench.come(phase=Phase.BODY)

    for _ in range(30):
        bench.table.receive(quick, LIMITS.rate)
        bench.table.receive(slow, LIMITS.rate // 10)
        bench.wait(1.0)

    assert bench.did(quick, slow) == ["", "cut"]


def test_a_reader_that_takes_nothing_is_cut_and_one_that_takes_little_by_little_is_not() -> None:
    bench = Bench()
    quick, slow, still = (bench.come(phase=Phase.ANSWER) for _ in range(3))
    for row in (quick, slow, still):
        bench.wires[row].waiting = 1 << 20

    for _ in range(45):
        bench.wires[quick].gone += LIMITS.rate + 1
        bench.wires[slow].gone += LIMITS.rate // 10
        bench.wait(1.0)

    assert bench.did(quick, slow, still) == ["", "cut", "cut"]


def test_a_stream_with_nothing_to_send_is_no_slow_reader() -> None:
    bench = Bench()
    row = bench.come(phase=Phase.STREAM)

    for _ in range(100):
        bench.wait(1.0)

    assert bench.did(row) == [""]


def test_streams_have_a_bound_in_all_and_per_address_and_say_so() -> None:
    bench = Bench(connections_per_address=4)
    first, second = bench.come("192.0.2.1"), bench.come("192.0.2.1")
    third, fourth = bench.come("192.0.2.2"), bench.come("192.0.2.3")

    said = [bench.table.begin_stream(row) or "" for row in (first, first, second, third, fourth)]

    assert [bool(each) for each in said] == [False, False, True, False, True]
    assert "MIDSTREAM_WEB_STREAMS_PER_ADDRESS" in said[2]
    assert "2 streams are open" in said[4]


def test_the_place_of_a_stream_is_free_when_it_has_ended() -> None:
    bench = Bench()
    first, second = bench.come("192.0.2.1"), bench.come("192.0.2.1")
    assert bench.table.begin_stream(first) is None

    bench.table.remove(first)

    assert bench.table.begin_stream(second) is None


def test_too_many_requests_give_up_a_body_that_is_not_there_before_anybody_is_refused() -> None:
    bench = Bench()
    body = bench.come(phase=Phase.BODY)
    rows = [bench.come(phase=Phase.ANSWER) for _ in range(2)]

    with_body = bench.table.begin_request(rows[1], "/any")
    third = bench.come(phase=Phase.ANSWER)
    said = [bench.table.begin_request(third, path) for path in ("/any", "/stop")]

    assert (with_body, bench.did(body)) == (None, ["cut"])
    assert said[0] is not None
    assert "2 requests are under way" in said[0]
    assert said[1] is None


def test_bodies_together_have_a_bound() -> None:
    bench = Bench()
    first, second = bench.come(phase=Phase.BODY), bench.come(phase=Phase.BODY)

    bench.table.receive(first, BODIES_BYTES_MAX // 2)
    bench.table.receive(second, BODIES_BYTES_MAX // 2)
    fits = bench.did(first, second)
    bench.table.receive(second, 1)

    assert (fits, bench.did(first, second)) == (["", ""], ["cut", ""])


def test_an_attack_is_one_line_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            bench.come()
        bench.wait(0.0)
        bench.come()
        bench.wait(REPORT_S / 2)
        before = said(caplog.records)
        bench.wait(REPORT_S / 2)

    assert before == [("connections ended or refused", {"listener": "TEST", "open": 4, "reasons": {"evicted": 96}})]
    assert len(caplog.records) == 2


def test_figures_tell_what_is_there_and_what_limits_have_ended() -> None:
    bench = Bench()
    metrics = Metrics(CollectorRegistry())
    table = ConnectionTable(LIMITS, name="TEST", clock_s=lambda: bench.clock.monotonic_ns() / 1e9, metrics=metrics)
    rows = [table.admit(HERE, Wire()) for _ in range(LIMITS.connections + 2)]
    assert rows[-1] is not None
    table.move(rows[-1], Phase.STREAM)
    table.sweep()
    table.sweep()

    values = {
        name: metrics.registry.get_sample_value(f"midstream_web_{name}")
        for name in ("connections", "streams", "ended_total")
    }

    assert values == {"connections": LIMITS.connections, "streams": 1, "ended_total": 2}


@pytest.mark.parametrize("share", [1, 8, 40, 360, 4_096, 60_000])
def test_fitted_limits_leave_room_beside_streams_and_requests(share: int) -> None:
    limits = WebLimits.of(ProcessSettings.model_construct(), share)

    assert limits.connections <= share
    assert share < 4 or limits.streams + limits.requests < limits.connections
    assert limits.streams_per_address <= limits.streams
    assert limits.connections_per_address <= limits.connections


def test_with_a_large_share_the_settings_hold() -> None:
    settings = ProcessSettings.model_construct()

    limits = WebLimits.of(settings, 60_000)

    assert (limits.connections, limits.streams, limits.requests) == (
        settings.web_connections_max, settings.web_streams_max, settings.web_requests_max,
    )  # fmt: skip
