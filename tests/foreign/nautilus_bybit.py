"""The nautilus trial on Bybit: `nautilus_bybit.py spot|linear|inverse PORT KEY SECRET`."""

from __future__ import annotations

import sys
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
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trial import Plan, run

CATEGORY, PORT, KEY, SECRET = sys.argv[1:5]
INSTRUMENT = InstrumentId.from_str({"inverse": "ETHUSD"}.get(CATEGORY, "ETHUSDT") + f"-{CATEGORY.upper()}.BYBIT")
AMOUNT = Decimal(100) if CATEGORY == "inverse" else Decimal("0.1")
HOST = f"ws://127.0.0.1:{PORT}/v5"


def public(**known: Any) -> Any:
    """Open market data: the adapter takes the REST address for this websocket, too, and no other can be named."""
    return nautilus_pyo3.BybitWebSocketClient.new_public(**{**known, "url": f"{HOST}/public/{CATEGORY}"})


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
    run(
        Plan(INSTRUMENT, AMOUNT, book={"depth": 50}),
        BYBIT,
        (BybitDataClientConfig(**common), BybitExecClientConfig(**common, **streams)),
        (BybitLiveDataClientFactory, BybitLiveExecClientFactory),
    )


if __name__ == "__main__":
    main()
