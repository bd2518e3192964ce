"""Exchanges' words for an end, as ours."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.trading import EndedBy, OrderReport, OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Cause, Event, Order, OrderState, TradingMode, apply
from services.orders.domain.events import AmendAsked, Intended, PlacementRefused, Stated
from services.orders.domain.statements import AT_ONCE_NS, ended_as, news

D = Decimal
CANCELED, EXPIRED, REJECTED = VenueState.CANCELED, VenueState.EXPIRED, VenueState.REJECTED


def order(**changes: Any) -> Order:
    terms: dict[str, Any] = {"type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "post_only": False, **changes}
    body = Intended(
        owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange="bitmex", market="bitmex",
        symbol="BTC/USD:BTC", exchange_symbol="XBTUSD", side=Side.BUY, quantity=D(5), price=D(50), reduce_only=False,
        mode=TradingMode.SIMULATOR, send_until_ns=10, **terms,
    )  # fmt: skip
    return apply(None, Event("1", 1, 1_000, Cause.CALLER, body))


def report(state: VenueState, **changes: Any) -> OrderReport:
    values: dict[str, Any] = {
        "exchange": "bitmex", "market": "bitmex", "symbol": "BTC/USD:BTC", "exchange_order_id": "x1", "client_order_id": "ms-1",
        "raw_state": "Canceled", "side": Side.BUY, "type": OrderType.LIMIT, "quantity": D(5), "price": D(50),
        "filled_quantity": D(0), "average_price": None, "update_time_ns": 2_000,
    }  # fmt: skip
    return OrderReport(state=state, **{**values, **changes})


@pytest.mark.parametrize(
    ("terms", "said", "expected"),
    [
        ({"time_in_force": TimeInForce.IOC}, {}, EXPIRED),
        ({"time_in_force": TimeInForce.IOC}, {"filled_quantity": D(2)}, EXPIRED),
        ({"time_in_force": TimeInForce.FOK}, {}, EXPIRED),
        ({"type": OrderType.MARKET, "time_in_force": None}, {"filled_quantity": D(2)}, EXPIRED),
        ({}, {}, CANCELED),
        ({}, {"filled_quantity": D(2)}, CANCELED),
        ({"post_only": True}, {}, CANCELED),
        ({"post_only": True}, {"ended_by": EndedBy.POST_ONLY}, REJECTED),
        ({"post_only": True}, {"ended_by": EndedBy.POST_ONLY, "filled_quantity": D(1)}, EXPIRED),
        ({"post_only": True}, {"ended_by": EndedBy.POST_ONLY, "update_time_ns": 2_000 + AT_ONCE_NS}, EXPIRED),
        ({"reduce_only": True}, {"ended_by": EndedBy.REDUCE_ONLY}, EXPIRED),
        ({}, {"ended_by": EndedBy.LIQUIDATION}, EXPIRED),
    ],
)
def test_an_end_is_called_by_what_it_was(terms: dict[str, Any], said: dict[str, Any], expected: VenueState) -> None:
    terms.pop("reduce_only", None)
    one = order(**terms)
    found = news(one, report(CANCELED, **said))

    assert found is not None
    assert isinstance(found.body, Stated)
    assert (found.body.state, found.body.raw_state) == (expected, "Canceled")
    told = Event(one.order_id, one.revision + 1, 1_500, Cause.STREAM, found.body)
    assert apply(one, told, found) == apply(one, told), "what was found out by looking is what the event makes of it"


def test_a_post_only_order_that_is_amended_to_take_was_no_refused_one() -> None:
    resting = apply(order(post_only=True), Event("1", 2, 1_500, Cause.CALLER, AmendAsked(D(5), D(60), 9_000)))

    assert ended_as(report(CANCELED, ended_by=EndedBy.POST_ONLY), resting) is EXPIRED


@pytest.mark.parametrize("state", [VenueState.NEW, VenueState.FILLED, VenueState.PARTIALLY_FILLED])
def test_other_states_stay(state: VenueState) -> None:
    assert ended_as(report(state, ended_by=EndedBy.TIME_IN_FORCE), order(time_in_force=TimeInForce.IOC)) is state


def test_a_rejection_for_want_of_liquidity_is_an_expiry_and_any_other_stays() -> None:
    immediate = order(time_in_force=TimeInForce.IOC)

    assert ended_as(report(REJECTED, ended_by=EndedBy.TIME_IN_FORCE), immediate) is EXPIRED
    assert ended_as(report(REJECTED), immediate) is REJECTED


def test_an_order_of_somebody_else_is_judged_by_its_own_terms() -> None:
    assert ended_as(report(CANCELED, time_in_force=TimeInForce.IOC)) is EXPIRED
    assert ended_as(report(CANCELED)) is CANCELED


@pytest.mark.parametrize(("cause", "state"), [(EndedBy.TIME_IN_FORCE, OrderState.EXPIRED), (None, OrderState.REJECTED)])
def test_a_refusal_for_want_of_liquidity_is_an_expiry(cause: EndedBy | None, state: OrderState) -> None:
    refused = Event("1", 2, 1_500, Cause.ANSWER, PlacementRefused("not filled", "-5021", ended_by=cause))
    ended = apply(order(time_in_force=TimeInForce.FOK), refused)

    assert (ended.state, ended.reason) == (state, "not filled")
    shown = news(ended, replace(report(VenueState.FILLED), filled_quantity=D(5)))
    assert shown is not None, "evidence is worth more than the refusal"


def amending(*, side: Side = Side.BUY, price: str = "70") -> Order:
    """Return an order that rests at 50 and is to be amended."""
    body = Intended(
        owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange="bybit", market="linear",
        symbol="BTC/USDT:USDT", exchange_symbol="BTCUSDT", side=side, type=OrderType.LIMIT, quantity=D(5), price=D(50),
        time_in_force=TimeInForce.GTC, post_only=False, reduce_only=False, mode=TradingMode.SIMULATOR, send_until_ns=10,
    )  # fmt: skip
    rests = Stated(VenueState.NEW, "New", "x1", D(5), D(50), D(0), update_time_ns=2_000)
    events = (body, rests, AmendAsked(D(5), D(price), 10_000))
    made: Order | None = None
    for number, each in enumerate(events, start=1):
        made = apply(made, Event("1", number, number, Cause.CALLER, each))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("side", "target", "shown", "done"),
    [
        pytest.param(Side.BUY, "70", {"price": D(60)}, True, id="a buy at the limit"),
        pytest.param(Side.SELL, "30", {"price": D(40)}, True, id="a sell at the limit"),
        pytest.param(Side.BUY, "70", {"price": D(70)}, True, id="as asked for"),
        pytest.param(Side.BUY, "70", {}, False, id="as before"),
        pytest.param(Side.BUY, "70", {"price": D(80)}, False, id="dearer than asked for"),
        pytest.param(Side.BUY, "70", {"price": D(60), "quantity": D(4)}, False, id="another quantity"),
        pytest.param(Side.BUY, "70", {"price": D(60), "update_time_ns": 1_000}, False, id="from before"),
        pytest.param(Side.BUY, "70", {"price": D(60), "price_may_move": False}, False, id="where prices are not moved"),
    ],
)
def test_an_amend_whose_price_was_moved_to_the_limit_is_done(
    side: Side, target: str, shown: dict[str, Any], done: bool
) -> None:
    before = amending(side=side, price=target)
    values = {"exchange": "bybit", "market": "linear", "symbol": "BTC/USDT:USDT", "side": side, "price_may_move": True}
    said = report(VenueState.NEW, **{**values, "update_time_ns": 3_000, **shown})

    found = news(before, said)

    after = before if found is None else found.after
    assert (after.amending is None) is done
    assert (after.reason != "") is (done and shown.get("price") != D(target))
    if done and after.reason:
        again = news(after, replace(said, update_time_ns=4_000))
        assert again is None or again.after.reason == after.reason
        normal = news(after, replace(said, price=D(55), update_time_ns=5_000))
        assert normal is not None
        assert normal.after.reason == ""
