"""The provider of reference prices: asking for an hour, and what the answer says."""

from clients.power.reference.client import ReferencePriceClient, check_base_url
from clients.power.reference.errors import ProviderError, classify
from clients.power.reference.observation import Observation

__all__ = ["Observation", "ProviderError", "ReferencePriceClient", "check_base_url", "classify"]
