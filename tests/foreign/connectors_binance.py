"""Every call that the official connectors of Binance make without a word more than they need: `connectors_binance.py PORT KEY SECRET`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from binance.cm_futures import CMFutures
from binance.spot import Spot
from binance.um_futures import UMFutures
from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_spot.spot import Spot as SdkSpot

URL, KEY, SECRET = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2], sys.argv[3]
SPOT = """
ping time exchange_info depth+ trades+ historical_trades+ agg_trades+ klines+i ui_klines+i avg_price+ ticker_24hr+
ticker_price+ book_ticker+ rolling_window_ticker+ account new_order+b get_open_orders+ get_orders+ my_trades+
get_order_rate_limit trade_fee coin_info system_status
"""
FUTURES = """
ping time exchange_info depth+ trades+ historical_trades+ agg_trades+ klines+i mark_price_klines+i mark_price+
funding_rate+ ticker_24hr_price_change+ ticker_price+ book_ticker+ open_interest+ account balance get_position_mode
change_leverage+l new_order+b get_position_risk get_account_trades+ get_income_history leverage_brackets
commission_rate+ get_orders+ get_all_orders+ new_listen_key
"""
SDK_SPOT = """
ping time exchange_info depth+ get_trades+ historical_trades+ agg_trades+ klines+i ui_klines+i avg_price+ ticker24hr+
ticker_price+ ticker+ ticker_trading_day+ get_account new_order+b get_open_orders+ all_orders+ my_trades+
rate_limit_order account_commission+ my_allocations+
"""
SDK_USDM = """
test_connectivity check_server_time exchange_information order_book+ recent_trades_list+
compressed_aggregate_trades_list+ kline_candlestick_data+i mark_price+ get_funding_rate_history+ open_interest+
futures_account_balance_v3 account_information_v3 symbol_configuration+ futures_account_configuration
user_commission_rate+ get_current_position_mode change_initial_leverage+l new_order+b position_information_v3
account_trade_list+ get_income_history current_all_open_orders all_orders+ start_user_data_stream
query_user_rate_limit get_current_multi_assets_mode
"""
MORE: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "i": {"interval": "1m"},
    "l": {"leverage": 5},
    "b": {"side": "BUY", "type": "MARKET", "quantity": 1},
}


def failures(client: Any, calls: str, symbol: str) -> dict[str, str]:
    """Make the calls; return those that fail. A plus says that a symbol is asked for, and what stands behind it what else."""
    failed = {}
    for call in calls.split():
        name, plus, more = call.partition("+")
        arguments = {**({"symbol": symbol} if plus else {}), **MORE[more]}
        try:
            answer = getattr(client, name)(**arguments)
            if hasattr(answer, "data"):
                answer.data()
        except Exception as exc:  # noqa: BLE001  # whatever a library makes of an answer is its verdict
            failed[name] = f"{type(exc).__name__}: {exc}"[:300]
    return failed


def main() -> None:
    rest = ConfigurationRestAPI(api_key=KEY, api_secret=SECRET, base_path=URL)
    told = {
        "spot": failures(Spot(api_key=KEY, api_secret=SECRET, base_url=URL), SPOT, "BTCUSDT"),
        "usdm": failures(UMFutures(key=KEY, secret=SECRET, base_url=URL), FUTURES, "BTCUSDT"),
        "coinm": failures(CMFutures(key=KEY, secret=SECRET, base_url=URL), FUTURES, "BTCUSD_PERP"),
        "sdk spot": failures(SdkSpot(config_rest_api=rest).rest_api, SDK_SPOT, "BTCUSDT"),
        "sdk usdm": failures(DerivativesTradingUsdsFutures(config_rest_api=rest).rest_api, SDK_USDM, "BTCUSDT"),
    }
    sys.stdout.write(f"TOLD {json.dumps(told)}\n")


if __name__ == "__main__":
    main()
