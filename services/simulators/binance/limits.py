"""Weights per address, orders per account, bans: counted as Binance counts, announced in its headers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from services.simulators.binance.errors import BinanceError
from services.simulators.binance.listings import MARKETS, SPOT
from services.simulators.venue.limits import Ban, WindowCounter

ADDRESSES_MAX: Final = 4096


@dataclass(frozen=True)
class LimitOptions:
    """The limits, as `exchangeInfo` states them."""

    spot_weight: int = 6000
    futures_weight: int = 2400
    """USD-M and COIN-M together."""
    spot_orders_10s: int = 100
    spot_orders_day: int = 200_000
    futures_orders_10s: int = 300
    futures_orders_minute: int = 1200
    ban_tolerance: int = 10
    """Requests behind a 429 before the ban."""
    ban_first_s: float = 120.0
    ban_longest_s: float = 3 * 86_400.0


@dataclass
class _Address:
    spot: WindowCounter
    futures: WindowCounter
    ban: Ban

    def pool(self, market: str) -> WindowCounter:
        return self.spot if market == SPOT else self.futures


@dataclass
class _Orders:
    windows: dict[str, tuple[WindowCounter, ...]] = field(default_factory=dict)


class BinanceLimits:
    """All counters of the exchange."""

    def __init__(self, options: LimitOptions) -> None:
        self.options = options
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._accounts: dict[str, _Orders] = {}

    def charge(self, address: str, market: str, weight: int, now_ns: int) -> None:
        """Count a request, or raise 429 or 418 without counting it."""
        known = self._address(address)
        if known.ban.active(now_ns):
            raise _banned(known.ban, now_ns)
        pool = known.pool(market)
        if pool.over(weight, now_ns):
            if known.ban.offend(now_ns):
                raise _banned(known.ban, now_ns)
            text = (
                f"Too many requests; current limit of IP({address}) is {pool.limit} request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API."
            )
            raise BinanceError(429, -1003, text, headers={"Retry-After": str(pool.left_s(now_ns))})
        pool.add(weight, now_ns)

    def give_back(self, address: str, market: str, weight: int, now_ns: int) -> None:
        """Take back what a successful request does not cost."""
        self._address(address).pool(market).add(-weight, now_ns)

    def used(self, address: str, market: str, now_ns: int) -> int:
        """Return the used weight of this minute."""
        return self._address(address).pool(market).used(now_ns)

    def count_order(self, account: str, market: str, now_ns: int) -> None:
        """Count a new order, or raise -1015 without counting it."""
        for window in self._orders(account, market):
            if window.over(1, now_ns):
                span = {10: "10 SECOND", 60: "1 MINUTE", 86_400: "1 DAY"}[window.window_s]
                text = f"Too many new orders; current limit is {window.limit} orders per {span}."
                raise BinanceError(429, -1015, text, headers={"Retry-After": str(window.left_s(now_ns))})
        for window in self._orders(account, market):
            window.add(1, now_ns)

    def filled(self, account: str, now_ns: int) -> None:
        """Give a spot account one unfilled order back."""
        for window in self._orders(account, SPOT):
            window.add(-1, now_ns)

    def order_headers(self, account: str, market: str, now_ns: int) -> dict[str, str]:
        """Return the order counts as headers."""
        spans = {10: "10s", 60: "1m", 86_400: "1d"}
        return {
            f"x-mbx-order-count-{spans[window.window_s]}": str(window.used(now_ns))
            for window in self._orders(account, market)
        }

    def order_usage(self, account: str, market: str, now_ns: int) -> list[dict[str, object]]:
        """Return the order counts as `rateLimit/order` does."""
        names = {10: ("SECOND", 10), 60: ("MINUTE", 1), 86_400: ("DAY", 1)}
        return [
            {
                "rateLimitType": "ORDERS",
                "interval": names[window.window_s][0],
                "intervalNum": names[window.window_s][1],
                "limit": window.limit,
                "count": window.used(now_ns),
            }
            for window in self._orders(account, market)
        ]

    def _address(self, address: str) -> _Address:
        known = self._addresses.get(address)
        if known is None:
            options = self.options
            known = _Address(
                WindowCounter(window_s=60, limit=options.spot_weight),
                WindowCounter(window_s=60, limit=options.futures_weight),
                Ban(options.ban_first_s, options.ban_longest_s, options.ban_tolerance),
            )
            self._addresses[address] = known
            if len(self._addresses) > ADDRESSES_MAX:
                self._addresses.popitem(last=False)
        return known

    def _orders(self, account: str, market: str) -> tuple[WindowCounter, ...]:
        known = self._accounts.setdefault(account, _Orders())
        pool = SPOT if market == SPOT else "futures"
        if pool not in known.windows:
            options = self.options
            sizes = (
                ((10, options.spot_orders_10s), (86_400, options.spot_orders_day))
                if pool == SPOT
                else ((10, options.futures_orders_10s), (60, options.futures_orders_minute))
            )
            known.windows[pool] = tuple(WindowCounter(window_s=span, limit=limit) for span, limit in sizes)
        return known.windows[pool]


def _banned(ban: Ban, now_ns: int) -> BinanceError:
    until_ms = ban.until_ns // 1_000_000
    left_s = max(1, -(-(ban.until_ns - now_ns) // 1_000_000_000))
    text = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return BinanceError(418, -1003, text, headers={"Retry-After": str(left_s)})


def rate_limits(market: str, options: LimitOptions) -> list[dict[str, object]]:
    """Return the `rateLimits` of a market's `exchangeInfo`."""
    assert market in MARKETS
    weight = options.spot_weight if market == SPOT else options.futures_weight
    rows: list[tuple[str, str, int, int]] = [("REQUEST_WEIGHT", "MINUTE", 1, weight)]
    if market == SPOT:
        rows += [
            ("ORDERS", "SECOND", 10, options.spot_orders_10s),
            ("ORDERS", "DAY", 1, options.spot_orders_day),
            ("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ]
    else:
        rows += [
            ("ORDERS", "MINUTE", 1, options.futures_orders_minute),
            ("ORDERS", "SECOND", 10, options.futures_orders_10s),
        ]
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in rows
    ]
