"""Parts that simulated exchanges are made of: prices that move, a matching engine, faults, a port."""

from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import Fault, Rule, VenueFaults, parse_faults
from services.simulators.venue.messages import Fate, Request, Response
from services.simulators.venue.sockets import Closed, SimSocket

__all__ = [
    "Account",
    "Closed",
    "Fate",
    "Fault",
    "Request",
    "Response",
    "Rule",
    "SimSocket",
    "SimulatedVenue",
    "VenueFaults",
    "VenueOptions",
    "parse_faults",
]
