"""Which market streams there are: what is not in this table is refused, so that nobody waits for what never comes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.venue.listing import Listing

SECOND_MS: Final = 1000

PUBLIC: Final = frozenset({"bookTicker", "depth", "trade"})
"""Kinds that the public part of USD-M carries: books, and trades, which clients ask for there."""
MARKET: Final = frozenset({"aggTrade", "markPrice", "ticker", "miniTicker", "trade"})

_FUTURES: Final = frozenset({USDM, COINM})
_ALL: Final = frozenset({SPOT, USDM, COINM})
_SUFFIX: Final = re.compile(r"(?P<kind>[A-Za-z]+)(?P<levels>5|10|20)?(?:@(?P<speed>1s|\d+ms))?")


@dataclass(frozen=True)
class Kind:
    """One kind of stream."""

    markets: frozenset[str]
    speeds: Mapping[str, int]
    """Spelling of a speed to milliseconds between two messages; 0 is each step of the market, "" is what is not spelled."""
    all_on: frozenset[str] = frozenset()
    """Markets with a stream of all symbols."""
    arr: bool = True
    """Whether the stream of all symbols is an array, and named so."""
    has_levels: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "bookTicker": Kind(_ALL, {"": 0}, all_on=_FUTURES, arr=False),
    "depth": Kind(_ALL, {"": 250, "100ms": 100, "250ms": 250, "500ms": 500, "1000ms": 1000}, has_levels=True),
    "aggTrade": Kind(_ALL, {"": 0}),
    "trade": Kind(_ALL, {"": 0}),
    "markPrice": Kind(_FUTURES, {"": 3 * SECOND_MS, "1s": SECOND_MS}, all_on=_FUTURES),
    "ticker": Kind(_ALL, {"": SECOND_MS}, all_on=_ALL),
    "miniTicker": Kind(_ALL, {"": SECOND_MS}, all_on=_ALL),
}
"""Differences of the book and candles are not simulated; snapshots of the book are."""


@dataclass(frozen=True)
class Stream:
    """One stream that exists."""

    kind: str
    symbol: str | None
    """As the listing spells it; None is all of the market."""
    levels: int
    every_ms: int
    array: bool = False

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
    if found is None or kind is None or market not in (kind.all_on if everything else kind.markets):
        return None
    if everything and array is not kind.arr:
        return None
    if bool(found["levels"]) is not kind.has_levels or (found["speed"] or "") not in kind.speeds:
        return None
    if not everything and (symbol != symbol.lower() or symbol.upper() not in listings):
        return None
    every_ms = kind.speeds[found["speed"] or ""]
    return Stream(found["kind"], None if everything else symbol.upper(), int(found["levels"] or 0), every_ms, array)


def refusal(market: str, name: str, listings: Mapping[str, Listing]) -> str:
    """Say why a name means nothing, and what was probably meant."""
    symbol, at, suffix = name.partition("@")
    if at and not name.startswith("!") and symbol.upper() not in listings:
        near = get_close_matches(symbol.lower(), [one.lower() for one in listings], 1)
        return f"`{name}`: there is no symbol `{symbol}`" + (f"; did you mean `{near[0]}`?" if near else "")
    if at and not name.startswith("!") and symbol != symbol.lower():
        return f"`{name}`: names are lower case: `{symbol.lower()}@{suffix}`"
    known = ", ".join(name for name, kind in KINDS.items() if market in kind.markets)
    return f"`{name}` is not simulated; there are {known} (depth5, depth10, depth20)"
