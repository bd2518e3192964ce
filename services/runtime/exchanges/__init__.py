"""Exchange clients inside a server: opened with all policies, watched, and reported."""

from services.runtime.exchanges.opened import OpenExchange, OpenExchanges, open_exchanges, shared_limiter
from services.runtime.exchanges.publisher import StatusPublisher
from services.runtime.exchanges.watcher import EXCHANGE_FIGURES, ExchangeMetrics, ExchangeWatcher, GroupStatus

__all__ = [
    "EXCHANGE_FIGURES",
    "ExchangeMetrics",
    "ExchangeWatcher",
    "GroupStatus",
    "OpenExchange",
    "OpenExchanges",
    "StatusPublisher",
    "open_exchanges",
    "shared_limiter",
]
