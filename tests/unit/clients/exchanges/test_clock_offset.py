"""The offset to a server's clock and its error bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.exchanges.clock_offset import ClockReading, measure
from clients.http.transport import HttpResponse


def _response(sent_ns: int, received_ns: int, received_wall_ns: int) -> HttpResponse:
    return HttpResponse(200, {}, b"", sent_ns, received_ns, received_wall_ns)


@pytest.mark.quick
def test_the_server_is_assumed_to_read_its_clock_half_way() -> None:
    offset = measure(ClockReading(5_000, 0), _response(100, 300, 1_000))

    # Half-way is 200 on the monotonic clock, 900 on the wall.
    assert offset.server_now_ns(200) == 5_000
    assert offset.as_server_time().offset_ns == 4_100
    assert offset.as_server_time().error_ns == 100
    assert offset.as_server_time().measured_ns == 300


def test_a_step_of_the_wall_clock_does_not_move_the_servers_time() -> None:
    offset = measure(ClockReading(5_000, 0), _response(100, 300, 1_000))
    stepped = measure(ClockReading(5_000, 0), _response(100, 300, 999_999))

    assert offset.server_now_ns(1_000) == stepped.server_now_ns(1_000)


@given(
    st.integers(-(10**12), 10**12),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
    st.sampled_from([1, 1_000_000, 1_000_000_000]),
    st.integers(0, 10**15),
)
def test_the_true_offset_lies_within_the_error_bound(
    skew_ns: int, there_ns: int, back_ns: int, resolution_ns: int, sent_ns: int
) -> None:
    """However the round trip is split, and wherever in the server's tick the reading fell."""
    true_server_ns = sent_ns + there_ns + skew_ns
    reading = ClockReading(true_server_ns - true_server_ns % resolution_ns, resolution_ns)

    received_ns = sent_ns + there_ns + back_ns
    offset = measure(reading, _response(sent_ns, received_ns, received_ns))

    assert abs(offset.server_minus_monotonic_ns - skew_ns) <= offset.error_ns + 1
