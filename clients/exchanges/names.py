"""Names of the exchanges there are. A new one is a folder under `clients/exchanges/` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXCHANGES: Final[Mapping[str, str]] = {
    "binance": "clients.exchanges.binance",
    "bitmex": "clients.exchanges.bitmex",
}
"""Name -> package. Imported when it is used, so that a process pays only for the exchanges that it talks to."""

USED_BY_DEFAULT: Final = ("binance", "bitmex")
"""What servers talk to unless a setting says otherwise. Known is not used: a new exchange has to be named before anything is sent to it."""
