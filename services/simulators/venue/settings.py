"""What the exchange simulators take from the environment alike; each names the variables itself."""

from __future__ import annotations

from decimal import Decimal

from services.runtime.settings import ListenerSettings
from services.simulators.venue.exchange import VenueOptions
from services.simulators.venue.ledger import Account


class VenueSettings(ListenerSettings):
    """The market's behaviour, without names of variables."""

    seed: int
    step_s: float
    volatility: float
    depth: Decimal

    def options(self) -> VenueOptions:
        """Return them as the simulator takes them."""
        return VenueOptions(seed=self.seed, step_s=self.step_s, volatility=self.volatility, depth=self.depth)


def read_keys(text: str) -> tuple[Account, ...]:
    """Return the accounts of `name:key:secret,...`; raise ValueError without showing a secret."""
    accounts = []
    for number, part in enumerate(filter(None, (one.strip() for one in text.split(","))), 1):
        pieces = part.split(":")
        if len(pieces) != 3 or not all(pieces):
            raise ValueError(f"entry {number} must be name:key:secret")
        name, api_key, secret = pieces
        accounts.append(Account(name, api_key, secret))
    return tuple(accounts)
