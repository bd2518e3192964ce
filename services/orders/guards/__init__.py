"""Check whether an order may go out: limits, prices, positions, the trading gate and its kill switch."""
