"""A simulated BitMEX."""

from services.simulators.bitmex.limits import LimitOptions
from services.simulators.bitmex.simulator import DEMO_ACCOUNT, SimulatedBitmex

__all__ = ["DEMO_ACCOUNT", "LimitOptions", "SimulatedBitmex"]
