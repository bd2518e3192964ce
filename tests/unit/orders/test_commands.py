"""O06: fields of commands, one by one; what is not plain is refused with the field's name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders.engine.commands import PlaceCommand, decimal_field, place_command, settle_command, valid_for
from services.orders.errors import reason_of
from services.orders.journal.codec import encode
from services.runtime.errors import InvalidRequest

GOOD: dict[str, Any] = {
    "idempotency_key": "k", "exchange": "binance", "symbol": "BTC/USDT", "side": Side.BUY, "type_": OrderType.LIMIT,
    "quantity": "0.5", "price": "99",
}  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"quantity": "0.001"}, {"quantity": "0.0010"}, True),
        ({"quantity": "100"}, {"quantity": "100.000"}, True),
        ({"quantity": "100"}, {"quantity": "00100"}, True),
        ({"price": "63000"}, {"price": "63000.00"}, True),
        ({"quantity": "100"}, {"quantity": "10"}, False),
        ({"quantity": "0.001"}, {"quantity": "0.0011"}, False),
        ({"quantity": "1" * 20 + "." + "1" * 20}, {"quantity": "1" * 20 + "." + "1" * 19 + "2"}, False),
        ({"price": "1"}, {"price": "10"}, False),
        ({}, {"time_in_force": TimeInForce.GTC}, True),
        ({}, {"exchange": "Binance"}, True),
    ],
)
def test_bodies_are_compared_by_value(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (command(**one).body_hash == command(**other).body_hash) is same


def test_keys_that_were_used_before_are_recognised_as_they_were_typed() -> None:
    typed = hashlib.sha256(encode(replace(command(quantity="0.50"), idempotency_key="")).encode()).hexdigest()

    assert command(quantity="0.50").typed_hash == typed
    assert command(quantity="0.50").body_hash == command(quantity="0.5").typed_hash


def command(**changes: Any) -> PlaceCommand:
    return place_command(**{**GOOD, **changes})


@pytest.mark.quick
@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "-1", "+1", "NaN", "nan", "inf", "-inf", "1e308", "1e5", "1E5", "1_000", " 1", "1 ", "1,5", ".5", "5.",
     "0x10", "١٢", "1" * 21, "0." + "1" * 21, "1\n", "1\x00", "½", "--1", "1.2.3"],
)  # fmt: skip
def test_what_is_no_plain_positive_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decimal_field("quantity", text)

    assert refused.value.field == "quantity"
    assert reason_of(refused.value) == "bad-field"


@given(st.text(max_size=30))
def test_no_text_becomes_anything_but_a_finite_positive_decimal(text: str) -> None:
    try:
        value = decimal_field("quantity", text)
    except InvalidRequest:
        return
    assert value.is_finite()
    assert value > 0
    assert format(value, "f").strip("0") == text.strip("0")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("idempotency_key", {"idempotency_key": ""}),
        ("idempotency_key", {"idempotency_key": "a b"}),
        ("idempotency_key", {"idempotency_key": "x" * 129}),
        ("idempotency_key", {"idempotency_key": "ü"}),
        ("exchange", {"exchange": ""}),
        ("symbol", {"symbol": ""}),
        ("side", {"side": None}),
        ("type", {"type_": None}),
        ("price", {"price": ""}),
        ("price", {"type_": OrderType.MARKET}),
        ("time_in_force", {"type_": OrderType.MARKET, "price": "", "time_in_force": TimeInForce.IOC}),
        ("post_only", {"type_": OrderType.MARKET, "price": "", "post_only": True}),
        ("time_in_force", {"post_only": True, "time_in_force": TimeInForce.IOC}),
        ("client_order_id", {"client_order_id": "a b"}),
        ("client_order_id", {"client_order_id": "x" * 65}),
        ("valid_for_ms", {"valid_for_ms": 60_001}),
        ("valid_for_ms", {"valid_for_ms": -1}),
    ],
)
def test_an_unusable_field_is_named(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        command(**changes)

    assert refused.value.field == field


def test_defaults_are_filled_in() -> None:
    made = command()

    assert made.time_in_force is TimeInForce.GTC
    assert made.valid_for_ms == valid_for(0) == 10_000
    assert command(exchange="any").exchange == "ANY"
    assert command(exchange="Binance").exchange == "binance"


def test_the_hash_is_of_the_meaning_and_not_of_the_key() -> None:
    assert command().body_hash == command(idempotency_key="other").body_hash
    for changes in (
        {"quantity": "0.6"},
        {"price": "98"},
        {"side": Side.SELL},
        {"client_order_id": "c"},
        {"symbol": "X"},
    ):
        assert command().body_hash != command(**changes).body_hash
    assert command(quantity="0.5").quantity == Decimal("0.5")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("not_there", {"not_there": False}),
        ("not_there", {"exchange_order_id": "7"}),
        ("exchange_order_id", {"not_there": False, "exchange_order_id": "7" * 65}),
        ("exchange_order_id", {"not_there": False, "exchange_order_id": "7\n"}),
        ("reason", {"reason": " "}),
        ("reason", {"reason": "x" * 301}),
        ("evidence", {"evidence": "x" * 501}),
        ("evidence", {"evidence": "a\x00b"}),
    ],
)
def test_an_operators_word_names_what_is_wrong_with_it(field: str, changes: dict[str, Any]) -> None:
    words = {"order_id": "o", "not_there": True, "exchange_order_id": "", "reason": "looked", "evidence": "ticket 4711"}
    assert settle_command(**words).evidence == "ticket 4711"  # type: ignore[arg-type]

    with pytest.raises(InvalidRequest) as refused:
        settle_command(**{**words, **changes})

    assert refused.value.field == field
