"""Read `MIDSTREAM_LIVE_URL=EXCHANGE://BTC/USDT,ETH/USDT:USDT`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from clients.exchanges.names import EXCHANGES
from services.runtime.errors import StartRefused

SYMBOLS_MAX: Final = 200
_SYMBOL: Final = re.compile(r"[A-Z0-9]{1,20}/[A-Z0-9]{1,20}(:[A-Z0-9]{1,20}(-[0-9]{6})?)?")


@dataclass(frozen=True)
class ExchangeAddress:
    """Which exchange, and which of its instruments."""

    exchange: str
    symbols: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address as it is written in settings."""
        return f"{self.exchange}://{','.join(self.symbols)}"


def exchange_address(url: str) -> ExchangeAddress | None:
    """Return the address, None for a URL of another kind; raise StartRefused for symbols that cannot be any."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in EXCHANGES:
        return None
    symbols = tuple(dict.fromkeys(part.strip() for part in rest.split(",") if part.strip()))
    wrong = [symbol for symbol in symbols if _SYMBOL.fullmatch(symbol) is None]
    if wrong or not symbols or len(symbols) > SYMBOLS_MAX:
        found = f"{wrong[0][:40]!r} is none" if wrong else f"got {len(symbols)}"
        raise StartRefused(
            f"MIDSTREAM_LIVE_URL: name 1 to {SYMBOLS_MAX} unified symbols behind {scheme}://, "
            f"like {scheme}://BTC/USDT,BTC/USDT:USDT ({found})"
        )
    return ExchangeAddress(scheme, symbols)
