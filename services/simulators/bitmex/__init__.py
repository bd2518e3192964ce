"""A simulated BitMEX."""

from services.simulators.bitmex.exchange import DEMO_ACCOUNT
from services.simulators.bitmex.limits import LimitOptions
from services.simulators.bitmex.simulator import SimulatedBitmex

__all__ = ["DEMO_ACCOUNT", "LimitOptions", "SimulatedBitmex"]
