"""The deals feed: messages to deals, deals to the database exactly once."""

from clients.power.deals.listener import DealListener, ListenerOptions
from clients.power.deals.messages import parse_message
from clients.power.deals.model import Deal, Flag, Gap, Unusable
from clients.power.deals.sink import Committed, Cursor, DealSink
from clients.power.deals.spool import Spool, SpoolBusy

__all__ = [
    "Committed",
    "Cursor",
    "Deal",
    "DealListener",
    "DealSink",
    "Flag",
    "Gap",
    "ListenerOptions",
    "Spool",
    "SpoolBusy",
    "Unusable",
    "parse_message",
]
