"""A simulated Binance."""

from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.simulator import DEMO_ACCOUNT, SimulatedBinance

__all__ = ["DEMO_ACCOUNT", "LimitOptions", "SimulatedBinance"]
