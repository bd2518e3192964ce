"""A provider of reference prices, with a quota."""

from services.simulators.market_data.app import make_app
from services.simulators.market_data.faults import Fault, ProviderFaults
from services.simulators.market_data.provider import ProviderAnswer, ReferencePriceProvider
from services.simulators.market_data.quota import RequestCount
from services.simulators.market_data.schedule import Publication, Schedule, ScheduleOptions

__all__ = [
    "Fault",
    "ProviderAnswer",
    "ProviderFaults",
    "Publication",
    "ReferencePriceProvider",
    "RequestCount",
    "Schedule",
    "ScheduleOptions",
    "make_app",
]
