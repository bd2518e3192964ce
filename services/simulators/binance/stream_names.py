"""Which market streams there are: what is not in this table is refused, so that nobody waits for what never comes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from services.simulators.binance.exchange_info import contract_type
from services.simulators.binance.klines import INTERVALS
from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.venue.listing import Listing

SECOND_MS: Final = 1000

PUBLIC: Final = frozenset({"bookTicker", "depth", "trade"})
"""Kinds that the public part of USD-M carries: books, and trades, which clients ask for there."""
MARKET: Final = frozenset({"aggTrade", "markPrice", "ticker", "miniTicker", "trade", "kline", "continuousKline"})

_FUTURES: Final = frozenset({USDM, COINM})
_ALL: Final = frozenset({SPOT, USDM, COINM})
_SUFFIX: Final = re.compile(r"(?P<kind>[A-Za-z]+)(?P<levels>5|10|20)?(?:_(?P<interval>\w+))?(?:@(?P<speed>1s|\d+ms))?")
_DEPTH_SPOT: Final = {"": SECOND_MS, "1000ms": SECOND_MS, "100ms": 100}
_DEPTH_FUTURES: Final = {"": 250, "250ms": 250, "500ms": 500, "100ms": 100, "0ms": 0}
"""The fastest is not in the documents, but there, and some clients ask for it."""


@dataclass(frozen=True)
class Kind:
    """One kind of stream."""

    speeds: Mapping[str, Mapping[str, int]]
    """By market: spelling of a speed to milliseconds between two messages; 0 is each step, "" is what is not spelled."""
    all_on: frozenset[str] = frozenset()
    """Markets with a stream of all symbols."""
    all_ms: int | None = None
    """The pace of the stream of all symbols where it has one of its own."""
    arr: bool = True
    """Whether the stream of all symbols is an array, and named so."""
    levels: frozenset[str] = frozenset({""})
    """Numbers that may stand behind the name."""
    intervals: frozenset[str] = frozenset()
    """What has to stand behind the name and an underscore."""

    by_contract: bool = False
    """Whether a pair and a type of contract stand in front instead of a symbol: whatever contract is of that type then."""

    def paces(self, market: str, *, everything: bool) -> Mapping[str, int]:
        """Return the speeds of a stream."""
        own = self.speeds.get(market, {})
        return dict.fromkeys(own, self.all_ms) if everything and self.all_ms is not None else own


def _each_step(markets: frozenset[str]) -> Mapping[str, Mapping[str, int]]:
    return {market: {"": 0} for market in markets}


KINDS: Final[Mapping[str, Kind]] = {
    "bookTicker": Kind(_each_step(_ALL), all_on=_FUTURES, arr=False),
    "depth": Kind(
        {SPOT: _DEPTH_SPOT, USDM: _DEPTH_FUTURES, COINM: _DEPTH_FUTURES}, levels=frozenset({"", "5", "10", "20"})
    ),
    "aggTrade": Kind(_each_step(_ALL)),
    "trade": Kind(_each_step(_ALL)),
    "markPrice": Kind({market: {"": 3 * SECOND_MS, "1s": SECOND_MS} for market in _FUTURES}, all_on=_FUTURES),
    "ticker": Kind({SPOT: {"": SECOND_MS}, USDM: {"": 2 * SECOND_MS}, COINM: {"": 500}}, all_on=_ALL, all_ms=SECOND_MS),
    "miniTicker": Kind(
        {SPOT: {"": SECOND_MS}, USDM: {"": 2 * SECOND_MS}, COINM: {"": 500}}, all_on=_ALL, all_ms=SECOND_MS
    ),
    "avgPrice": Kind({SPOT: {"": SECOND_MS}}),
    "kline": Kind({SPOT: {"": 2 * SECOND_MS}, USDM: {"": 250}, COINM: {"": 250}}, intervals=frozenset(INTERVALS)),
    "continuousKline": Kind({USDM: {"": 250}, COINM: {"": 250}}, intervals=frozenset(INTERVALS), by_contract=True),
}


@dataclass(frozen=True)
class Stream:
    """One stream that exists."""

    kind: str
    symbol: str | None
    """As the listing spells it, or a pair and a type of contract; None is all of the market."""
    levels: int
    every_ms: int
    array: bool = False
    interval: str = ""

    def listing(self, listings: Mapping[str, Listing]) -> Listing | None:
        """Return what the stream is about now; None for all of the market, and for what is listed no longer."""
        if self.symbol is None or not KINDS[self.kind].by_contract:
            return listings.get(self.symbol or "")
        pair, _, contract = self.symbol.partition("_")
        own = [one for one in listings.values() if one.base + one.quote == pair]
        return next((one for one in own if contract_type(one, own) == contract), None)

    def part_of(self, category: str) -> bool:
        """Whether a part of the USD-M split carries it; `all` is everything."""
        return category == "all" or self.kind in {"public": PUBLIC, "market": MARKET}.get(category, ())


def find_stream(market: str, name: str, listings: Mapping[str, Listing]) -> Stream | None:
    """Return what a name means on a market; None for what is not served there. Another spelling is another stream."""
    everything = name.startswith("!")
    symbol, _, suffix = ("", "", name[1:]) if everything else name.partition("@")
    array = everything and (suffix.endswith("@arr") or "@arr@" in suffix)
    found = _SUFFIX.fullmatch(suffix.replace("@arr", "", 1) if array else suffix)
    kind = KINDS.get(found["kind"]) if found is not None else None
    if found is None or kind is None or market not in (kind.all_on if everything else kind.speeds):
        return None
    if everything and array is not kind.arr:
        return None
    interval, speed, paces = found["interval"] or "", found["speed"] or "", kind.paces(market, everything=everything)
    if (found["levels"] or "") not in kind.levels or speed not in paces or not _legal(market, kind, interval):
        return None
    every_ms = SECOND_MS if interval == "1s" else paces[speed]
    levels = int(found["levels"] or 0)
    stream = Stream(found["kind"], None if everything else symbol.upper(), levels, every_ms, array, interval)
    if not everything and (symbol != symbol.lower() or stream.listing(listings) is None):
        return None
    return stream


def _legal(market: str, kind: Kind, interval: str) -> bool:
    if not kind.intervals:
        return not interval
    return interval in kind.intervals and (interval != "1s" or market == SPOT)


def refusal(market: str, name: str, listings: Mapping[str, Listing]) -> str:
    """Say why a name means nothing, and what was probably meant."""
    symbol, at, suffix = name.partition("@")
    if at and not name.startswith("!") and symbol.upper() not in listings:
        near = get_close_matches(symbol.lower(), [one.lower() for one in listings], 1)
        return f"`{name}`: there is no symbol `{symbol}`" + (f"; did you mean `{near[0]}`?" if near else "")
    if at and not name.startswith("!") and symbol != symbol.lower():
        return f"`{name}`: names are lower case: `{symbol.lower()}@{suffix}`"
    known = ", ".join(
        f"{name}_<interval>" if kind.intervals else name for name, kind in KINDS.items() if market in kind.speeds
    )
    return f"`{name}` is not simulated; there are {known} (depth5, depth10, depth20)"
