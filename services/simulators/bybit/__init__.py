"""A simulated Bybit."""

from services.simulators.bybit.exchange import DEMO_ACCOUNT
from services.simulators.bybit.limits import LimitOptions
from services.simulators.bybit.sightings import RowDelays
from services.simulators.bybit.simulator import SimulatedBybit

__all__ = ["DEMO_ACCOUNT", "LimitOptions", "RowDelays", "SimulatedBybit"]
