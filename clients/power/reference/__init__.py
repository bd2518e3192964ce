"""The reference price: asking the provider within its quota, learning when it publishes, keeping what it said."""

from clients.power.reference.client import ReferencePriceClient, check_base_url
from clients.power.reference.errors import ProviderError, classify
from clients.power.reference.ledger import SqlLedger
from clients.power.reference.observation import Observation
from clients.power.reference.planner import Ask, Planner, Urgency, Wait
from clients.power.reference.quota_limiter import QuotaLimiter
from clients.power.reference.schedule import Schedule
from clients.power.reference.store import ReferenceStore, SavedStanding

__all__ = [
    "Ask",
    "Observation",
    "Planner",
    "ProviderError",
    "QuotaLimiter",
    "ReferencePriceClient",
    "ReferenceStore",
    "SavedStanding",
    "Schedule",
    "SqlLedger",
    "Urgency",
    "Wait",
    "check_base_url",
    "classify",
]
