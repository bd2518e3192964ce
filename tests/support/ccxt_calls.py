"""What ccxt can be asked to do on an exchange, market by market: its own calls, without a parameter beyond what they need."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Call = Callable[[Any, "Market"], Any]


@dataclass(frozen=True)
class Market:
    """One market of the exchange, and an amount that it takes."""

    symbol: str
    amount: float
    kind: Mapping[str, str]
    """What calls without a symbol need to know the market by."""

    @property
    def is_spot(self) -> bool:
        """Whether there are no positions."""
        return not self.kind


MARKETS: Final = {
    "spot": Market("BTC/USDT", 0.001, {}),
    "USD-M": Market("BTC/USDT:USDT", 0.01, {"type": "swap", "subType": "linear"}),
    "COIN-M": Market("BTC/USD:BTC", 2, {"type": "swap", "subType": "inverse"}),
}


def _below(exchange: Any, market: Market) -> float:
    last = exchange.fetch_ticker(market.symbol)["last"]
    return float(exchange.price_to_precision(market.symbol, last * 0.95))


def _place(exchange: Any, market: Market) -> Any:
    return exchange.create_order(market.symbol, "limit", "buy", market.amount, _below(exchange, market))


def _buy(exchange: Any, market: Market) -> Any:
    return exchange.create_order(market.symbol, "market", "buy", market.amount)


def _edit(exchange: Any, market: Market) -> Any:
    placed, price = _place(exchange, market), _below(exchange, market) - 100
    return exchange.edit_order(placed["id"], market.symbol, "limit", "buy", market.amount, price)


def _several(exchange: Any, market: Market) -> Any:
    order = {"symbol": market.symbol, "type": "limit", "side": "buy", "amount": market.amount}
    return exchange.create_orders([{**order, "price": _below(exchange, market)} for _ in range(2)])


def _stop(exchange: Any, market: Market) -> Any:
    more = {"stopLossPrice": _below(exchange, market)}
    return exchange.create_order(market.symbol, "market", "sell", market.amount, None, more)


def _separate(exchange: Any, market: Market) -> Any:
    """Hold long and short apart and together again, which the exchange allows while nothing is open."""
    for order in exchange.fetch_open_orders(market.symbol):
        exchange.cancel_order(order["id"], market.symbol)
    for held in exchange.fetch_positions([market.symbol], dict(market.kind)):
        side = "sell" if held["side"] == "long" else "buy"
        exchange.create_order(market.symbol, "market", side, held["contracts"], None, {"reduceOnly": True})
    return [exchange.set_position_mode(hedged, market.symbol) for hedged in (True, False)]


CALLS: Final[Mapping[str, Call]] = {
    "load_markets": lambda exchange, market: exchange.load_markets(),
    "fetch_currencies": lambda exchange, market: exchange.fetch_currencies(),
    "fetch_time": lambda exchange, market: exchange.fetch_time(),
    "fetch_status": lambda exchange, market: exchange.fetch_status(),
    "fetch_ticker": lambda exchange, market: exchange.fetch_ticker(market.symbol),
    "fetch_tickers": lambda exchange, market: exchange.fetch_tickers([market.symbol]),
    "fetch_bids_asks": lambda exchange, market: exchange.fetch_bids_asks([market.symbol]),
    "fetch_last_prices": lambda exchange, market: exchange.fetch_last_prices([market.symbol]),
    "fetch_order_book": lambda exchange, market: exchange.fetch_order_book(market.symbol),
    "fetch_trades": lambda exchange, market: exchange.fetch_trades(market.symbol),
    "fetch_ohlcv": lambda exchange, market: exchange.fetch_ohlcv(market.symbol, "5m"),
    "fetch_mark_ohlcv": lambda exchange, market: exchange.fetch_mark_ohlcv(market.symbol, "1h"),
    "fetch_index_ohlcv": lambda exchange, market: exchange.fetch_index_ohlcv(market.symbol, "1h"),
    "create_order limit": _place,
    "create_order market": _buy,
    "create_order stop": _stop,
    "create_orders": _several,
    "edit_order": _edit,
    "fetch_order": lambda exchange, market: exchange.fetch_order(_place(exchange, market)["id"], market.symbol),
    "fetch_open_order": lambda exchange, market: exchange.fetch_open_order(
        _place(exchange, market)["id"], market.symbol
    ),
    "fetch_open_orders": lambda exchange, market: exchange.fetch_open_orders(market.symbol),
    "fetch_closed_orders": lambda exchange, market: exchange.fetch_closed_orders(market.symbol),
    "fetch_orders": lambda exchange, market: exchange.fetch_orders(market.symbol),
    "fetch_my_trades": lambda exchange, market: exchange.fetch_my_trades(market.symbol),
    "cancel_order": lambda exchange, market: exchange.cancel_order(_place(exchange, market)["id"], market.symbol),
    "cancel_orders": lambda exchange, market: exchange.cancel_orders([_place(exchange, market)["id"]], market.symbol),
    "cancel_all_orders": lambda exchange, market: (_place(exchange, market), exchange.cancel_all_orders(market.symbol)),
    "fetch_balance": lambda exchange, market: exchange.fetch_balance(dict(market.kind)),
    "fetch_trading_fee": lambda exchange, market: exchange.fetch_trading_fee(market.symbol),
    "fetch_trading_fees": lambda exchange, market: exchange.fetch_trading_fees(dict(market.kind)),
    "fetch_positions": lambda exchange, market: exchange.fetch_positions([market.symbol], dict(market.kind)),
    "fetch_leverages": lambda exchange, market: exchange.fetch_leverages([market.symbol], dict(market.kind)),
    "fetch_leverage_tiers": lambda exchange, market: exchange.fetch_leverage_tiers([market.symbol], dict(market.kind)),
    "fetch_margin_modes": lambda exchange, market: exchange.fetch_margin_modes([market.symbol], dict(market.kind)),
    "fetch_position_mode": lambda exchange, market: exchange.fetch_position_mode(market.symbol),
    "set_leverage": lambda exchange, market: exchange.set_leverage(10, market.symbol),
    "set_margin_mode": lambda exchange, market: exchange.set_margin_mode("isolated", _other(market)),
    "set_position_mode": _separate,
    "fetch_funding_rate": lambda exchange, market: exchange.fetch_funding_rate(market.symbol),
    "fetch_funding_rates": lambda exchange, market: exchange.fetch_funding_rates([market.symbol], dict(market.kind)),
    "fetch_funding_rate_history": lambda exchange, market: exchange.fetch_funding_rate_history(market.symbol),
    "fetch_funding_history": lambda exchange, market: exchange.fetch_funding_history(market.symbol),
    "fetch_open_interest": lambda exchange, market: exchange.fetch_open_interest(market.symbol),
    "fetch_ledger": lambda exchange, market: exchange.fetch_ledger(None, None, None, dict(market.kind)),
    "fetch_mark_price": lambda exchange, market: exchange.fetch_mark_price(market.symbol),
}
"""In the order in which a bot meets them."""
NOT_OF_SPOT: Final = frozenset(
    name
    for name in CALLS
    if any(word in name for word in ("mark_", "index", "position", "leverage", "margin", "funding", "interest"))
) | {"fetch_ledger"}
"""Calls about contracts. A ledger of spot is made of deposits, which are not an exchange's to simulate."""


def _other(market: Market) -> str:
    """A contract on which nothing is open."""
    return "ETH/USDC:USDC" if market.symbol.endswith("USDT") else "ETH/USD:ETH"


def outcome(exchange: Any, name: str, market: Market) -> str:
    """Make a call; return `yes`, or how ccxt names the error."""
    if market.is_spot and name in NOT_OF_SPOT:
        return ""
    try:
        CALLS[name](exchange, market)
    except importlib.import_module("ccxt").BaseError as exc:
        return type(exc).__name__
    return "yes"
