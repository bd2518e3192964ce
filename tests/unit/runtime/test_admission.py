"""How many calls may be under way."""

from __future__ import annotations

import logging

import pytest

from services.runtime.admission import CallAdmission, check_metadata, source_of
from services.runtime.call_limits import RESERVED_CALLS_MAX, CallLimits
from services.runtime.errors import Overloaded
from tests.support.log_records import said

CHECK = "/grpc.health.v1.Health/Check"
KILL = "/midstream.orders.v1.OrderService/SetKillSwitch"
PLACE = "/midstream.orders.v1.OrderService/PlaceOrder"
FAR = "ipv4:192.0.2.7:4711"
LOCAL = "ipv4:127.0.0.1:4711"


def _admission(**limits: int) -> CallAdmission:
    made = CallLimits(**limits, always_admitted=frozenset((CHECK, KILL)))  # type: ignore[arg-type]
    return CallAdmission(made, clock_s=lambda: 0.0)


def test_calls_are_counted_until_they_end() -> None:
    admission = _admission(calls_max=2)
    leave = [admission.enter(PLACE, LOCAL) for _ in range(2)]

    with pytest.raises(Overloaded, match=r"2 calls are under way already.*MIDSTREAM_GRPC_CALLS_MAX"):
        admission.enter(PLACE, FAR)
    leave[0]()

    admission.enter(PLACE, FAR)
    assert admission.under_way == 2


def test_methods_that_must_get_in_do_with_everything_taken_and_have_a_bound_of_their_own() -> None:
    admission = _admission(calls_max=1)
    admission.enter(PLACE, LOCAL)

    leave = [admission.enter(KILL, FAR) for _ in range(RESERVED_CALLS_MAX)]
    admission.enter(CHECK, FAR)
    with pytest.raises(Overloaded, match="of this method"):
        admission.enter(KILL, FAR)
    leave[0]()
    admission.enter(KILL, FAR)

    assert admission.under_way == 1


def test_one_address_does_not_take_everybodys_share_and_this_machine_is_no_single_address() -> None:
    admission = _admission(calls_max=10, calls_per_address=2)
    leave = [admission.enter(PLACE, f"ipv4:192.0.2.7:{port}") for port in (1, 2)]

    with pytest.raises(Overloaded, match=r"2 calls from 192\.0\.2\.7 are under way.*MIDSTREAM_GRPC_CALLS_PER_ADDRESS"):
        admission.enter(PLACE, "ipv4:192.0.2.7:3")
    admission.enter(PLACE, "ipv4:192.0.2.8:3")
    for port in range(3):
        admission.enter(PLACE, f"ipv4:127.0.0.1:{port}")
    leave[0]()

    admission.enter(PLACE, "ipv4:192.0.2.7:3")


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("ipv4:192.0.2.7:4711", ("192.0.2.7", False)),
        ("ipv4:127.0.0.1:1", ("127.0.0.1", True)),
        ("ipv6:%5B::1%5D:4711", ("::/64", True)),
        ("ipv6:[2001:db8:1:2:3::4]:4711", ("2001:db8:1:2::/64", False)),
        ("ipv6:%5B2001:db8:1:2::9%5D:1", ("2001:db8:1:2::/64", False)),
        ("ipv6:[::ffff:192.0.2.7]:4711", ("192.0.2.7", False)),
        ("unix:", ("unix:", True)),
    ],
)
def test_callers_count_by_address_and_with_ipv6_by_network(peer: str, source: tuple[str, bool]) -> None:
    assert source_of(peer) == source


def test_flood_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    admission = _admission(calls_max=1)
    admission.enter(PLACE, LOCAL)

    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            with pytest.raises(Overloaded):
                admission.enter(PLACE, FAR)

    assert [event for event, _ in said(caplog.records)] == ["calls refused"]


def test_metadata_larger_than_any_calls_is_refused() -> None:
    check_metadata((("authorization", "x" * 16_000),))

    with pytest.raises(Overloaded, match="metadata has 40006 bytes"):
        check_metadata((("cookie", b"x" * 40_000),))
