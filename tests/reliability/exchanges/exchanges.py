"""The exchanges that go on the stage."""

from __future__ import annotations

from typing import Final

from clients.exchanges import binance, bybit
from clients.exchanges.bases import Environment
from clients.exchanges.binance.settings import PLACES as BINANCE_PLACES
from clients.exchanges.bybit.settings import PLACES as BYBIT_PLACES
from clients.exchanges.exact_json import parse_json
from clients.http.transport import HttpResponse
from services.simulators.binance.exchange import DEMO_ACCOUNT as BINANCE_DEMO
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.bybit.exchange import DEMO_ACCOUNT as BYBIT_DEMO
from services.simulators.bybit.simulator import SimulatedBybit
from tests.reliability.exchanges.stage import Exchange


def bybit_code(response: HttpResponse) -> object:
    """Return what an answer says: the status says little."""
    try:
        return parse_json(response.body)["retCode"]
    except ValueError:
        return response.status


BINANCE: Final = Exchange(
    venue=lambda loop: SimulatedBinance(wall_ns=loop.wall_ns),
    client=binance.BinanceClient,
    trading=binance.BinanceTrading,
    bases=BINANCE_PLACES.bases(Environment.SIMULATOR),
    rules=binance.RULES,
    account=BINANCE_DEMO,
    placing="order",
    quotes="api/v3/ticker/bookTicker",
    clock="api/v3/time",
    lost=("error=500,executed=yes", "error=503,executed=yes"),
    busy=("throttled", "too-many-orders"),
)
BYBIT: Final = Exchange(
    venue=lambda loop: SimulatedBybit(wall_ns=loop.wall_ns),
    client=bybit.BybitClient,
    trading=bybit.BybitTrading,
    bases=BYBIT_PLACES.bases(Environment.SIMULATOR),
    rules=bybit.RULES,
    account=BYBIT_DEMO,
    placing="create",
    quotes="v5/market/orderbook",
    clock="v5/market/time",
    lost=("error=server-timeout,executed=yes", "error=502,executed=yes"),
    busy=("too-many-visits",),
    code_of=bybit_code,
)
EXCHANGES: Final = {"binance": BINANCE, "bybit": BYBIT}
