"""The deals feed: connections, messages, and what they say as values."""

from clients.power.deals.messages import parse_message
from clients.power.deals.model import Deal, Flag, Gap, Unusable

__all__ = ["Deal", "Flag", "Gap", "Unusable", "parse_message"]
