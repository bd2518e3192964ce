"""The state machine: late, repeated and reordered statements end in the same state, and terminal states stay."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Cause, Event, Order, OrderState, TradingMode, apply, fold
from services.orders.domain.events import (
    AmendAsked,
    AmendDropped,
    AmendUncertain,
    AnswerLost,
    Body,
    CancelAsked,
    Executed,
    FillBody,
    Halted,
    Intended,
    NotPlaced,
    PlacementRefused,
    Rerouted,
    SendingAgain,
    Stated,
)

INTENT = Intended(
    owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange="binance", market="spot", symbol="BTC/USDT",
    exchange_symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(10), price=Decimal(99),
    time_in_force=TimeInForce.GTC, post_only=False, reduce_only=False, mode=TradingMode.SIMULATOR, send_until_ns=100,
)  # fmt: skip


def after(*bodies: Body) -> Order:
    events = [Event("o", number, number, Cause.CALLER, body) for number, body in enumerate((INTENT, *bodies), 1)]
    order = fold(events)
    assert order is not None
    return order


def says(state: str, filled: str | None = None, at: int | None = None, **changes: object) -> Stated:
    body = Stated(
        VenueState(state),
        state.title(),
        "x1",
        filled=Decimal(filled) if filled is not None else None,
        update_time_ns=at,
    )
    return replace(body, **changes)  # type: ignore[arg-type]


def fill(trade_id: str, quantity: str, price: str = "99") -> FillBody:
    return FillBody(trade_id, Decimal(quantity), Decimal(price), None, "", 1)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("bodies", "state"),
    [
        ((), OrderState.UNKNOWN),
        ((says("NEW"),), OrderState.NEW),
        ((says("NEW", "2"),), OrderState.PARTIALLY_FILLED),
        ((says("PARTIALLY_FILLED", "2"),), OrderState.PARTIALLY_FILLED),
        ((says("FILLED", "10"),), OrderState.FILLED),
        ((says("FILLED"),), OrderState.FILLED),
        ((says("CANCELED", "2"),), OrderState.CANCELED),
        ((says("REJECTED"),), OrderState.REJECTED),
        ((says("EXPIRED"),), OrderState.EXPIRED),
        ((AnswerLost("lost"),), OrderState.UNKNOWN),
        ((PlacementRefused("no"),), OrderState.REJECTED),
        ((NotPlaced("proof"),), OrderState.NOT_PLACED),
        ((AnswerLost("lost"), says("NEW")), OrderState.NEW),
        ((AnswerLost("lost"), NotPlaced("proof")), OrderState.NOT_PLACED),
        ((SendingAgain("proof", 200),), OrderState.UNKNOWN),
        ((says("NEW"), NotPlaced("too late")), OrderState.NEW),
        ((says("NEW"), PlacementRefused("too late")), OrderState.NEW),
        ((NotPlaced("proof"), says("NEW")), OrderState.NEW),
        ((PlacementRefused("no"), says("FILLED", "10")), OrderState.FILLED),
        ((says("FILLED", "10"), says("CANCELED", "10")), OrderState.FILLED),
        ((says("CANCELED", "2"), says("NEW", "0")), OrderState.CANCELED),
        ((says("EXPIRED"), says("PARTIALLY_FILLED", "1")), OrderState.EXPIRED),
        ((says("REJECTED"), says("NEW")), OrderState.REJECTED),
        ((says("NEW"), Executed(fill("t1", "3"))), OrderState.PARTIALLY_FILLED),
        ((says("NEW"), Executed(fill("t1", "10"))), OrderState.PARTIALLY_FILLED),
    ],
)
def test_events_lead_to_the_state(bodies: tuple[Body, ...], state: OrderState) -> None:
    assert after(*bodies).state is state


def test_an_order_on_its_way_is_marked_and_an_answer_ends_that() -> None:
    assert after().sending
    assert not after(says("NEW")).sending
    assert not after(AnswerLost("lost")).sending
    assert after(AnswerLost("lost"), SendingAgain("proof", 200)).sending


def test_an_older_statement_changes_neither_terms_nor_state() -> None:
    order = after(
        says("NEW", "0", 10, quantity=Decimal(20), price=Decimal(98)),
        says("NEW", "0", 5, quantity=Decimal(10), price=Decimal(99)),
    )

    assert (order.quantity, order.price, order.venue_update_ns) == (Decimal(20), Decimal(98), 10)


def test_an_older_statement_still_tells_of_executions() -> None:
    assert after(says("NEW", "0", 10), says("PARTIALLY_FILLED", "3", 5)).filled == Decimal(3)


def test_executed_quantity_never_falls_and_fills_count_once() -> None:
    order = after(
        says("PARTIALLY_FILLED", "3", 5, fill=fill("t1", "3")),
        says("PARTIALLY_FILLED", "3", 5, fill=fill("t1", "3")),
        says("NEW", "0", 6),
        Executed(fill("t1", "3")),
        Executed(fill("t2", "2", "98")),
    )

    assert (order.filled, order.fills_quantity) == (Decimal(5), Decimal(5))
    assert order.average_price == Decimal("98.6")


def test_executions_that_are_not_known_one_by_one_are_counted_all_the_same() -> None:
    order = after(says("PARTIALLY_FILLED", "3", fill=fill("t1", "1")))

    assert (order.filled, order.fills_quantity) == (Decimal(3), Decimal(1))


def test_an_amend_is_pending_until_its_target_shows() -> None:
    asked = (says("NEW", "0", 1), AmendAsked(Decimal(12), Decimal(98), 500))

    assert after(*asked).amending is not None
    assert after(*asked, says("NEW", "0", 2, quantity=Decimal(12), price=Decimal(99))).amending is not None
    assert after(*asked, says("NEW", "0", 2, quantity=Decimal(12), price=Decimal(98))).amending is None
    assert after(*asked, says("FILLED", "10", 2)).amending is None
    dropped = after(*asked, AmendUncertain("lost", 7), AmendDropped("gone"))
    assert (dropped.amending, dropped.amend_problem, dropped.price) == (None, "gone", Decimal(99))


def test_an_old_statement_does_not_confirm_an_amend() -> None:
    order = after(
        says("NEW", "0", 5, quantity=Decimal(10), price=Decimal(99)),
        AmendAsked(Decimal(12), Decimal(98), 500),
        says("NEW", "0", 3, quantity=Decimal(12), price=Decimal(98)),
    )

    assert order.amending is not None


def test_a_cancel_stays_asked_until_a_terminal_state() -> None:
    assert after(says("NEW"), CancelAsked()).canceling
    assert after(says("NEW"), CancelAsked(), says("NEW", "1")).canceling
    assert not after(says("NEW"), CancelAsked(), says("CANCELED")).canceling
    assert not after(CancelAsked(), NotPlaced("proof")).canceling


def test_a_rerouted_order_is_on_its_way_elsewhere() -> None:
    order = after(Rerouted("bitmex", "bitmex", "BTC/USDT", "XBT_USDT", Decimal(10), "down"))

    assert (order.exchange, order.state, order.sending, order.attempts) == ("bitmex", OrderState.UNKNOWN, True, 2)


def test_a_halted_order_is_no_longer_amended() -> None:
    order = after(says("NEW"), AmendAsked(Decimal(12), Decimal(98), 500), Halted("two of them"))

    assert order.halted == "two of them"
    assert order.amending is None


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Stated], list[int]]:
    """Return what an exchange says of an order's life, and an order of arrival with repetitions."""
    statements = [says("NEW", "0", 1, quantity=Decimal(10), price=Decimal(99))]
    filled, at = 0, 1
    for number in range(draw(st.integers(0, 4))):
        at += draw(st.integers(1, 5))
        part = draw(st.integers(1, 2))
        filled += part
        state = "FILLED" if filled == 10 else "PARTIALLY_FILLED"
        statements.append(
            says(state, str(filled), at, quantity=Decimal(10), price=Decimal(99), fill=fill(f"t{number}", str(part)))
        )
    if draw(st.booleans()) and filled < 10:
        at += 1
        statements.append(
            says(
                draw(st.sampled_from(("CANCELED", "EXPIRED"))), str(filled), at, quantity=Decimal(10), price=Decimal(99)
            )
        )
    arrival = draw(st.lists(st.integers(0, len(statements) - 1), max_size=12))
    return statements, [*arrival, *draw(st.permutations(range(len(statements))))]


@given(lives())
def test_any_order_of_arrival_with_any_repetition_ends_alike(life: tuple[list[Stated], list[int]]) -> None:
    statements, arrival = life

    in_order = after(*statements)
    as_it_came = after(*(statements[index] for index in arrival))

    for name in ("state", "filled", "fills_quantity", "trade_ids", "quantity", "price", "exchange_order_id"):
        assert getattr(in_order, name) == getattr(as_it_came, name), name


BODIES = st.one_of(
    st.builds(says, st.sampled_from([state.value for state in VenueState]), st.sampled_from([None, "0", "3", "10"]),
              st.sampled_from([None, 1, 2, 3])),
    st.builds(Executed, st.builds(fill, st.sampled_from(["t1", "t2"]), st.sampled_from(["1", "2"]))),
    st.sampled_from([AnswerLost("l", 1, 2), PlacementRefused("r"), NotPlaced("n"), SendingAgain("s", 9), CancelAsked(),
                     AmendAsked(Decimal(12), Decimal(98), 5), AmendUncertain("u"), AmendDropped("d"), Halted("h")]),
)  # fmt: skip


@given(st.lists(BODIES, max_size=20))
def test_no_list_of_events_breaks_what_always_holds(bodies: list[Body]) -> None:
    order = after()
    for number, body in enumerate(bodies, 2):
        before = order
        order = apply(before, Event("o", number, number, Cause.STREAM, body))

        assert order.filled >= before.filled
        assert order.trade_ids >= before.trade_ids
        assert order.revision == before.revision + 1
        reopened = before.state.terminal and not order.state.terminal
        evidence = before.exchange_order_id != "" or before.state in (OrderState.CANCELED, OrderState.EXPIRED)
        assert not (reopened and evidence and isinstance(body, Stated))
        if order.state.terminal and isinstance(body, Stated):
            assert not order.canceling
            assert order.amending is None
