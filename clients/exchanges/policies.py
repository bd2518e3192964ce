"""Retries and breakers of calls to exchanges: the figures that are the exchanges' own, for whoever builds the executor."""

from __future__ import annotations

from typing import Final

from clients.resilience.executor import Policies
from clients.resilience.retry import RetryPolicy

ORDER_S: Final = 12.0
"""Binance gives up on its own engine after 10 s and says so: whoever hangs up earlier makes an order unknown for nothing."""
INSTRUMENTS_S: Final = 20.0
"""Megabytes take their time."""

_ONCE: Final = RetryPolicy(attempts_max=1, attempt_timeout_s=ORDER_S)

EXCHANGE_POLICIES: Final = Policies(
    retry_of={
        "place_order": _ONCE,
        "amend_order": _ONCE,
        "arm_dead_man": RetryPolicy(attempts_max=1),
        "get_instruments": RetryPolicy(attempts_max=2, attempt_timeout_s=INSTRUMENTS_S),
    }
)
"""Orders go out once per call: the order service decides what is repeated, with its journal, after asking."""
