"""A nautilus strategy that listens, buys, places, amends and cancels: `nautilus_bybit.py spot|linear|inverse PORT KEY SECRET`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from nautilus_trader.adapters.bybit import (
    BYBIT,
    BybitDataClientConfig,
    BybitExecClientConfig,
    BybitLiveDataClientFactory,
    BybitLiveExecClientFactory,
    BybitProductType,
    data,
)
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

CATEGORY, PORT, KEY, SECRET = sys.argv[1:5]
INSTRUMENT = InstrumentId.from_str({"inverse": "ETHUSD"}.get(CATEGORY, "ETHUSDT") + f"-{CATEGORY.upper()}.BYBIT")
BARS = BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL")
AMOUNT = Decimal(100) if CATEGORY == "inverse" else Decimal("0.1")
HOST = f"ws://127.0.0.1:{PORT}/v5"


def public(**known: Any) -> Any:
    """Open market data: the adapter takes the REST address for this websocket, too, and no other can be named."""
    return nautilus_pyo3.BybitWebSocketClient.new_public(**{**known, "url": f"{HOST}/public/{CATEGORY}"})


class Trial(Strategy):
    """Does a bit of everything, then prints what it has seen."""

    def on_start(self) -> None:
        self.seen: Counter[str] = Counter()
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_trade_ticks(INSTRUMENT)
        self.subscribe_order_book_deltas(INSTRUMENT, book_type=BookType.L2_MBP, depth=50)
        self.request_bars(BARS, start=self.clock.utc_now() - timedelta(hours=2))
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
        instrument = self.cache.instrument(INSTRUMENT)
        quantity = instrument.make_qty(AMOUNT)
        price = instrument.make_price(self.last.bid_price.as_decimal() * Decimal("0.95"))
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, quantity))
        self.resting = self.order_factory.limit(INSTRUMENT, OrderSide.BUY, quantity, price)
        self.submit_order(self.resting)

    def amend(self, event: Any) -> None:
        price = self.cache.instrument(INSTRUMENT).make_price(self.resting.price.as_decimal() - 10)
        self.modify_order(self.resting, price=price)

    def cancel(self, event: Any) -> None:
        self.cancel_order(self.resting)

    def tell(self, event: Any) -> None:
        book = self.cache.order_book(INSTRUMENT)
        told = {
            "seen": dict(self.seen),
            "orders": [order.status_string() for order in self.cache.orders()],
            "price": str(self.resting.price),
            "positions": [str(position.quantity) for position in self.cache.positions()],
            "book_is_level": abs(book.best_bid_price().as_double() - self.last.bid_price.as_double()) < 1,
        }
        sys.stdout.write(f"TOLD {json.dumps(told)}\n")
        sys.stdout.flush()
        os._exit(0)


def main() -> None:
    data.nautilus_pyo3 = SimpleNamespace(
        **{**vars(nautilus_pyo3), "BybitWebSocketClient": SimpleNamespace(new_public=public)}
    )
    common = {
        "api_key": KEY,
        "api_secret": SECRET,
        "product_types": (getattr(BybitProductType, CATEGORY.upper()),),
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset([INSTRUMENT])),
        "base_url_http": f"http://127.0.0.1:{PORT}",
    }
    streams = {"base_url_ws_private": f"{HOST}/private", "base_url_ws_trade": f"{HOST}/trade"}
    node = TradingNode(
        config=TradingNodeConfig(
            trader_id=TraderId("TRIAL-1"),
            logging=LoggingConfig(log_level="INFO", log_colors=False),
            data_clients={BYBIT: BybitDataClientConfig(**common)},
            exec_clients={BYBIT: BybitExecClientConfig(**common, **streams)},
        )
    )
    node.trader.add_strategy(Trial(StrategyConfig()))
    node.add_data_client_factory(BYBIT, BybitLiveDataClientFactory)
    node.add_exec_client_factory(BYBIT, BybitLiveExecClientFactory)
    node.build()
    node.run()


if __name__ == "__main__":
    main()
