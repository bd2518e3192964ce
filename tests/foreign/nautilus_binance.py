"""The nautilus trial on Binance: `nautilus_binance.py spot|futures PORT KEY SECRET_FILE`."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

from nautilus_trader.adapters.binance import BINANCE
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceKeyType
from nautilus_trader.adapters.binance.config import BinanceDataClientConfig, BinanceExecClientConfig
from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory, BinanceLiveExecClientFactory
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trial import Plan, run

FUTURES = sys.argv[1] == "futures"
PORT, KEY, SECRET = sys.argv[2], sys.argv[3], Path(sys.argv[4]).read_text()
INSTRUMENT = InstrumentId.from_str("ETHUSDT-PERP.BINANCE" if FUTURES else "ETHUSDT.BINANCE")
HOST = f"ws://127.0.0.1:{PORT}"


def main() -> None:
    common = {
        "account_type": BinanceAccountType.USDT_FUTURES if FUTURES else BinanceAccountType.SPOT,
        "api_key": KEY,
        "api_secret": SECRET,
        "key_type": BinanceKeyType.HMAC if FUTURES else BinanceKeyType.ED25519,
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset([INSTRUMENT])),
        "base_url_http": f"http://127.0.0.1:{PORT}",
    }
    streams = f"{HOST}/fstream/all" if FUTURES else HOST
    entry = f"{HOST}/ws-fapi/v1" if FUTURES else f"{HOST}/ws-api/v3"
    events = f"{HOST}/fstream/private/ws" if FUTURES else HOST
    run(
        Plan(INSTRUMENT, Decimal("0.1"), amends=FUTURES),
        BINANCE,
        (
            BinanceDataClientConfig(base_url_ws=streams, **common),
            BinanceExecClientConfig(base_url_ws=entry, base_url_ws_stream=events, **common),
        ),
        (BinanceLiveDataClientFactory, BinanceLiveExecClientFactory),
    )


if __name__ == "__main__":
    main()
