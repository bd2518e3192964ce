"""Serve a simulated exchange as the environment says: what the exchanges take alike; each names its variables itself."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import field_validator

from services.runtime.addresses import reachable
from services.runtime.settings import ProcessSettings
from services.runtime.web import WebFace, run_web
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import Rule, parse_faults
from services.simulators.venue.web import VenueApp


class VenueSettings(ProcessSettings):
    """The market's behaviour, without names of variables."""

    simulates: ClassVar[bool] = True

    error_names: ClassVar[tuple[str, ...]]
    """Of the exchange's planned errors."""

    seed: int
    """The same seed gives the same prices."""
    step_s: float
    """Seconds between two moves of the market."""
    volatility: float
    """Factor of how far prices move; 0 stands still."""
    depth: Decimal
    """Factor of the quantities in the simulated book."""
    faults: str
    """What goes wrong, see services/simulators/venue/faults.py."""
    keys: str
    """More accounts: name:key:secret,..."""
    levers: Literal["here", "anywhere"]
    """Who may use /sim: this machine alone, or every machine that reaches it."""

    @field_validator("faults", check_fields=False)
    @classmethod
    def _check_faults(cls, value: str) -> str:
        parse_faults(value, errors=cls.error_names)
        return value

    @field_validator("keys", check_fields=False)
    @classmethod
    def _check_keys(cls, value: str) -> str:
        read_keys(value)
        return value

    def options(self) -> VenueOptions:
        """Return the market's behaviour as the simulator takes it."""
        return VenueOptions(seed=self.seed, step_s=self.step_s, volatility=self.volatility, depth=self.depth)

    def rules(self) -> list[Rule]:
        """Return what goes wrong, as the simulator takes it."""
        return list(parse_faults(self.faults, errors=self.error_names))

    def accounts(self, demo: Account) -> tuple[Account, ...]:
        """Return everybody who may trade, the demo account first."""
        return (demo, *read_keys(self.keys))


def serve(venue: SimulatedVenue, settings: VenueSettings) -> int:
    """Serve a simulated exchange until told to stop; return the exit code."""
    app = VenueApp(venue, levers_from_anywhere=settings.levers == "anywhere")

    def opened(face: WebFace) -> None:
        app.door = face

    return run_web(
        f"sim-{venue.name}",
        settings,
        app,
        opened=opened,
        setting=f"MIDSTREAM_SIM_{venue.name.upper()}_PORT",
        banner=lambda port: venue.welcome(f"http://{reachable(settings.host, port)}"),
        date_header=False,
    )


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
