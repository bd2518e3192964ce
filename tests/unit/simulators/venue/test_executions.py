"""What the engine remembers of executions."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from unittest.mock import sentinel

import pytest

import services.simulators.venue.orderbook as orderbook
from services.simulators.venue.orderbook import OrderBook
from services.simulators.venue.orders import Fill


def fill(trade_id: int, order_id: int) -> Fill:
    values: dict[str, Any] = {each.name: getattr(sentinel, each.name) for each in fields(Fill)}
    return Fill(**{**values, "trade_id": trade_id, "order_id": order_id})


def test_executions_of_an_order_are_the_remembered_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderbook, "FILLS_MAX", 3)
    book = OrderBook()

    for trade_id, order_id in enumerate((7, 8, 7, 8, 9)):
        book.executed(fill(trade_id, order_id))

    assert [each.trade_id for each in book.fills] == [2, 3, 4]
    assert {order: [each.trade_id for each in book.fills_of(order)] for order in (7, 8, 9, 10)} == {
        7: [2],
        8: [3],
        9: [4],
        10: [],
    }


def test_an_order_whose_executions_are_all_forgotten_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderbook, "FILLS_MAX", 2)
    book = OrderBook()

    for number in range(100):
        book.executed(fill(number, number))

    assert set(book._fills_of) == {98, 99}
