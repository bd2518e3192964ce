"""Marks of orders that the exchange made itself, and that its rows say so by."""

from __future__ import annotations

from typing import Final

CREATE_TYPE: Final = "createType"
"""What `createType` says; of an order of an account it is CreateByUser."""
TRADE_TYPE: Final = "tradeType"
"""What `execType` of its executions says; of any other order Trade."""
