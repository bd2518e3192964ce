"""What the nautilus strategy does on every exchange: it listens, buys, places, amends and cancels, and prints what it has seen."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.config import LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy


@dataclass(frozen=True)
class Plan:
    """What is traded, and what the adapter takes."""

    instrument: InstrumentId
    amount: Decimal
    amends: bool = True
    """Whether orders of this market can be amended in place."""
    book: dict[str, Any] = field(default_factory=dict)
    """How the book's changes are subscribed to."""


class Trial(Strategy):
    """Does a bit of everything, then prints what it has seen."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(StrategyConfig())
        self.plan = plan
        self.seen: Counter[str] = Counter()

    def on_start(self) -> None:
        instrument = self.plan.instrument
        bars = BarType.from_str(f"{instrument}-1-MINUTE-LAST-EXTERNAL")
        self.subscribe_quote_ticks(instrument)
        self.subscribe_trade_ticks(instrument)
        self.subscribe_order_book_deltas(instrument, book_type=BookType.L2_MBP, **self.plan.book)
        self.subscribe_bars(bars)
        self.request_bars(bars, start=self.clock.utc_now() - timedelta(hours=2))
        for number, step in enumerate((self.trade, self.amend, self.cancel, self.tell), 1):
            self.clock.set_time_alert(step.__name__, self.clock.utc_now() + timedelta(seconds=4 * number), step)

    def on_quote_tick(self, tick: Any) -> None:
        self.seen["quotes"] += 1
        self.last = tick

    def on_trade_tick(self, tick: Any) -> None:
        self.seen["trades"] += 1

    def on_order_book_deltas(self, deltas: Any) -> None:
        self.seen["changes"] += 1

    def on_historical_data(self, bar: Any) -> None:
        self.seen["bars"] += 1

    def trade(self, event: Any) -> None:
        instrument = self.cache.instrument(self.plan.instrument)
        quantity = instrument.make_qty(self.plan.amount)
        price = instrument.make_price(self.last.bid_price.as_decimal() * Decimal("0.95"))
        self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, quantity))
        self.resting = self.order_factory.limit(instrument.id, OrderSide.BUY, quantity, price)
        self.submit_order(self.resting)

    def amend(self, event: Any) -> None:
        price = self.cache.instrument(self.plan.instrument).make_price(self.resting.price.as_decimal() - 10)
        self.wanted = str(price)
        if self.plan.amends:
            self.modify_order(self.resting, price=price)

    def cancel(self, event: Any) -> None:
        self.cancel_order(self.resting)

    def tell(self, event: Any) -> None:
        book = self.cache.order_book(self.plan.instrument)
        told = {
            "seen": dict(self.seen),
            "orders": [order.status_string() for order in self.cache.orders()],
            "amended": str(self.resting.price) == self.wanted,
            "positions": [str(position.quantity) for position in self.cache.positions()],
            "book_is_level": abs(book.best_bid_price().as_double() - self.last.bid_price.as_double()) < 1,
        }
        sys.stdout.write(f"TOLD {json.dumps(told)}\n")
        sys.stdout.flush()
        os._exit(0)


def run(plan: Plan, exchange: str, clients: tuple[Any, Any], factories: tuple[Any, Any]) -> None:
    """Run the trial with an exchange's two clients, of data and of orders, and what makes them."""
    data, orders = clients
    node = TradingNode(
        config=TradingNodeConfig(
            trader_id=TraderId("TRIAL-1"),
            logging=LoggingConfig(log_level="INFO", log_colors=False),
            data_clients={exchange: data},
            exec_clients={exchange: orders},
        )
    )
    node.trader.add_strategy(Trial(plan))
    node.add_data_client_factory(exchange, factories[0])
    node.add_exec_client_factory(exchange, factories[1])
    node.build()
    node.run()
