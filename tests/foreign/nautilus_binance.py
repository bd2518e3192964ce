"""A nautilus strategy that listens, buys, places, amends and cancels: `nautilus_binance.py spot|futures PORT KEY SECRET_FILE`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.adapters.binance import BINANCE
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceKeyType
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory, BinanceLiveExecClientFactory
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

FUTURES = sys.argv[1] == "futures"
PORT, KEY, SECRET = sys.argv[2], sys.argv[3], Path(sys.argv[4]).read_text()
INSTRUMENT = InstrumentId.from_str("ETHUSDT-PERP.BINANCE" if FUTURES else "ETHUSDT.BINANCE")
BARS = BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL")
KIND = BinanceAccountType.USDT_FUTURES if FUTURES else BinanceAccountType.SPOT
HOST = f"ws://127.0.0.1:{PORT}"


class Trial(Strategy):
    """Does a bit of everything, then prints what it has seen."""

    def on_start(self) -> None:
        self.seen: Counter[str] = Counter()
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_trade_ticks(INSTRUMENT)
        self.subscribe_order_book_deltas(INSTRUMENT, book_type=BookType.L2_MBP)
        self.subscribe_bars(BARS)
        self.request_bars(BARS, start=self.clock.utc_now() - timedelta(hours=2))
        for seconds, step in enumerate((self.trade, self.amend, self.cancel, self.tell), 1):
            self.clock.set_time_alert(step.__name__, self.clock.utc_now() + timedelta(seconds=4 * seconds), step)

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
        quantity = instrument.make_qty(Decimal("0.1"))
        price = instrument.make_price(self.last.bid_price.as_decimal() * Decimal("0.95"))
        self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, quantity))
        self.resting = self.order_factory.limit(INSTRUMENT, OrderSide.BUY, quantity, price)
        self.submit_order(self.resting)

    def amend(self, event: Any) -> None:
        price = self.cache.instrument(INSTRUMENT).make_price(self.resting.price.as_decimal() - 10)
        if FUTURES:
            self.modify_order(self.resting, price=price)

    def cancel(self, event: Any) -> None:
        self.cancel_order(self.resting)

    def tell(self, event: Any) -> None:
        book = self.cache.order_book(INSTRUMENT)
        told = {
            "seen": dict(self.seen),
            "orders": [order.status_string() for order in self.cache.orders()],
            "positions": [str(position.quantity) for position in self.cache.positions()],
            "book_is_level": abs(book.best_bid_price().as_double() - self.last.bid_price.as_double()) < 1,
        }
        sys.stdout.write(f"TOLD {json.dumps(told)}\n")
        sys.stdout.flush()
        os._exit(0)


def main() -> None:
    provider = InstrumentProviderConfig(load_ids=frozenset([INSTRUMENT]))
    kind = BinanceKeyType.HMAC if FUTURES else BinanceKeyType.ED25519
    common = {
        "account_type": KIND,
        "api_key": KEY,
        "api_secret": SECRET,
        "key_type": kind,
        "instrument_provider": provider,
    }
    common["base_url_http"] = f"http://127.0.0.1:{PORT}"
    streams = f"{HOST}/fstream/all" if FUTURES else HOST
    entry = f"{HOST}/ws-fapi/v1" if FUTURES else f"{HOST}/ws-api/v3"
    events = f"{HOST}/fstream/private/ws" if FUTURES else HOST
    node = TradingNode(
        config=TradingNodeConfig(
            trader_id=TraderId("TRIAL-1"),
            logging=LoggingConfig(log_level="INFO", log_colors=False),
            data_clients={BINANCE: BinanceDataClientConfig(base_url_ws=streams, **common)},
            exec_clients={BINANCE: BinanceExecClientConfig(base_url_ws=entry, base_url_ws_stream=events, **common)},
        )
    )
    node.trader.add_strategy(Trial(StrategyConfig()))
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    node.build()
    node.run()


if __name__ == "__main__":
    main()
