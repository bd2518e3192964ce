"""Messages of the deals feed for tests."""

from __future__ import annotations

import json
from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "id": "3624e95119f04b7bb054b2f91a980a83",
    "price": 20.64,
    "quantity": 1.2,
    "direction": "sell",
    "delivery_day": "2023-02-21",
    "delivery_hour": "15-16",
    "trader_id": "flex_trader_4",
    "execution_time": "2023-02-21T06:13:43+00:00",
}
"""The deal that the exchange's documentation shows."""

EXECUTED_NS: Final = 1_676_960_023_000_000_000
RECEIVED_NS: Final = EXECUTED_NS + 250_000_000


def confirmation(kind: str = "deal_confirmation", **changes: Any) -> str:
    """Return the example as a message; a field set to `...` is left out."""
    fields = {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not ...}
    return json.dumps({kind: fields})
