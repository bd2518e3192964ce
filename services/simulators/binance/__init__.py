"""A simulated Binance."""

from services.simulators.binance.exchange import DEMO_ACCOUNT
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.simulator import SimulatedBinance

__all__ = ["DEMO_ACCOUNT", "LimitOptions", "SimulatedBinance"]
