"""A freqtrade strategy that buys whenever it holds nothing and sells a moment later: it needs candles to do either."""

from __future__ import annotations

from typing import Any

from freqtrade.strategy import IStrategy


class Quick(IStrategy):
    """Enters on every candle."""

    timeframe = "1m"
    minimal_roi = {"0": -1}  # noqa: RUF012
    stoploss = -0.5
    startup_candle_count = 50
    process_only_new_candles = False

    def populate_indicators(self, dataframe: Any, metadata: Any) -> Any:
        dataframe["mean"] = dataframe["close"].rolling(20).mean()
        return dataframe

    def populate_entry_trend(self, dataframe: Any, metadata: Any) -> Any:
        dataframe.loc[dataframe["mean"] > 0, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: Any, metadata: Any) -> Any:
        dataframe["exit_long"] = 0
        return dataframe
