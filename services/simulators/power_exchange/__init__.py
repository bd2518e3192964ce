"""A power exchange: one seeded list of deals for everybody."""

from services.simulators.power_exchange.deal_list import DealList
from services.simulators.power_exchange.faults import ExchangeFaults
from services.simulators.power_exchange.script import PowerExchangeScript, ScriptedDeal, ScriptOptions, deal_message
from services.simulators.power_exchange.server import PowerExchange

__all__ = [
    "DealList",
    "ExchangeFaults",
    "PowerExchange",
    "PowerExchangeScript",
    "ScriptOptions",
    "ScriptedDeal",
    "deal_message",
]
